/* SPDX-License-Identifier: MIT */
#include <hsae/status.h>

const char *hsae_status_name(hsae_status status)
{
    switch (status) {
#define NAME_CASE(name, value, sentence) \
    case HSAE_##name:                    \
        return #name;
        HSAE_STATUS_MAP(NAME_CASE)
    }
    return "ERROR_UNKNOWN";
}

const char *hsae_status_sentence(hsae_status status)
{
    switch (status) {
#define SENTENCE_CASE(name, value, sentence) \
    case HSAE_##name:                        \
        return sentence;
        HSAE_STATUS_MAP(SENTENCE_CASE)
    }
    return "unknown status";
}

const char *hsae_version(void)
{
    return HSAE_VERSION;
}
