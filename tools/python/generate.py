#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes the parts of the package that follow from the library's headers.

generate.py native OUT.c INCLUDE COMPILER...    the extension module, by cffi, from the preprocessed hsae/hsae.h
generate.py config OUT.py CONFIG_KEYS.h         the class Config, from the one definition of a configuration's keys
"""
import ast
import re
import subprocess
import sys
import tempfile
from pathlib import Path

CALLBACKS = """
extern "Python" void hsae_py_log(void *user, hsae_log_level level, const char *message);
extern "Python" bool hsae_py_progress(void *user, uint64_t step, uint64_t until);
extern "Python" bool hsae_py_metrics(void *user, const hsae_step_metrics *metrics);
extern "Python" bool hsae_py_checkpoint(void *user, hsae_trainer *trainer);
extern "Python" hsae_status hsae_py_read(void *user, void *rows, uint64_t max, uint64_t *got);
extern "Python" hsae_status hsae_py_seek(void *user, uint64_t position);
extern "Python" hsae_status hsae_py_override(void *user, hsae_config *config);
"""


def native(out, include, *compiler):
    import cffi

    with tempfile.TemporaryDirectory() as empty:
        for name in ("stdbool.h", "stddef.h", "stdint.h", "stdio.h"):
            (Path(empty) / name).touch()
        command = [*compiler, "-E", "-P", "-nostdinc", "-D__attribute__(x)=", "-I", empty, "-I", include, Path(include) / "hsae/hsae.h"]
        text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    ffi = cffi.FFI()
    ffi.cdef(text + CALLBACKS)
    ffi.set_source("hsae._native", "#include <hsae/hsae.h>")
    ffi.emit_c_code(out)


TYPES = {"LEVELS": "Sequence[int]", "U32": "int", "U64": "int", "REAL": "float", "LIST": "Union[float, Sequence[float]]", "BOOL": "bool", "CHOICE": "str"}


def fields(text):
    """(call's name, arguments) of the X(...) and C(...) lines; texts and parentheses may hold commas."""
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.S).replace("\\\n", "\n")
    body = text[text.index("#define HSAE_CONFIG_KEYS(X)") + len("#define HSAE_CONFIG_KEYS(X)"):]
    for match in re.finditer(r"\bX\(", body[: body.index("#define")]):
        arguments, depth, quoted, at = [""], 1, False, match.end()
        while depth:
            character = body[at]
            quoted ^= character == '"'
            depth += not quoted and (character == "(") - (character == ")")
            if character == "," and depth == 1 and not quoted:
                arguments.append("")
            elif depth:
                arguments[-1] += character
            at += 1
        yield [argument.strip() for argument in arguments]


def initial(key, kind, value):
    """A default as C has it, for people."""
    if kind == "CHOICE":
        return value[len(f"HSAE_{key.upper()}_"):].lower()
    return value.strip("()") if kind == "LEVELS" else value


def config(out, header):
    keys = list(fields(Path(header).read_text()))
    if len(keys) < 20 or any(len(key) != 7 for key in keys):
        sys.exit(f"{header}: the keys are not written as this script expects")
    docs, members = [], []
    for key, kind, _, value, _, resume, text in keys:
        text = ast.literal_eval("(" + text + ")")
        docs.append(f"    {key} ({TYPES[kind]}):\n        {text}.\n        Default: {initial(key, kind, value)}."
                    + (" A resumed run may have another value." if resume == "CHANGES" else ""))
        members.append(f"    {key}: Optional[{TYPES[kind]}] = None")
    Path(out).write_text('"""Written by generate.py from include/hsae/config_keys.h."""\nfrom dataclasses import dataclass\n'
                         'from typing import Optional, Sequence, Union\n\n\n@dataclass\nclass ConfigKeys:\n'
                         '    """The keys of a configuration. None: the default, or the value of the run that is resumed.\n\n'
                         + "\n".join(docs) + '\n    """\n\n' + "\n".join(members) + "\n")


if __name__ == "__main__":
    {"native": native, "config": config}[sys.argv[1]](*sys.argv[2:])
