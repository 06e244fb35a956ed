/* SPDX-License-Identifier: MIT */
/* The version of these headers, and what versions promise.
 *
 * Versions are MAJOR.MINOR.PATCH. Until 1.0 the binary interface may change with every minor version: structures grow, fields get other
 * places. So a program is to be compiled against the headers of the library that it runs with. The soname counts incompatible releases:
 * libhsae.so.0 is that of 0.1; every release that breaks programs compiled before gets the next number. Patch versions change neither
 * structures nor functions. Structures of parameters are zero-initialised by name, so source code still compiles when fields are added.
 */
#ifndef HSAE_VERSION_H
#define HSAE_VERSION_H

#define HSAE_VERSION_MAJOR 0
#define HSAE_VERSION_MINOR 1
#define HSAE_VERSION_PATCH 0
/* For comparisons: `#if HSAE_VERSION_NUMBER >= HSAE_MAKE_VERSION(0, 2, 0)`. */
#define HSAE_MAKE_VERSION(major, minor, patch) ((major)*1000000 + (minor)*1000 + (patch))
#define HSAE_VERSION_NUMBER                    HSAE_MAKE_VERSION(HSAE_VERSION_MAJOR, HSAE_VERSION_MINOR, HSAE_VERSION_PATCH)

#endif
