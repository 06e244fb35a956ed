#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes the calls of test_nulls.c: every public function once for each of its pointers, with NULL there.

    make_nulls.py OUT HEADER...

Functions that return a status must give ERROR_ARGUMENT, other functions nothing: 0, NULL, a structure of zeros. Pointers that the headers allow
to be NULL are listed below; they are NULL in all calls.
"""
import pathlib
import re
import sys

# What the headers say may be NULL, by the parameter's name; "function.name" for one function alone.
MAY_BE_NULL = {"user", "progress", "reason", "source", "overrides", "metrics", "metadata", "tensors", "hsae_context_create.params",
               "hsae_explore.params", "hsae_device_open.id", "hsae_tune_save.result", "hsae_tune_save.path", "hsae_memory_plan_make.dataset",
               "hsae_free.memory", "hsae_left_out_text.dataset", "hsae_output_open.context",
               "hsae_explorer_tokens.sequence", "hsae_trainer_step_rows.used",
               "hsae_levels_choose.device", "hsae_network_serve.device"}
# Destructors take NULL and pointers to NULL.
DESTRUCTOR = re.compile(r"_(free|destroy|close)$")


def functions(header):
    text = re.sub(r"/\*.*?\*/", "", header.read_text(), flags=re.S)
    for match in re.finditer(r"HSAE_API\s+([^;]*?)\b(hsae_\w+)\(([^;]*)\);", text):
        result, name, parameters = match.group(1).strip(), match.group(2), " ".join(match.group(3).split())
        yield result, name, [] if parameters == "void" else [p.strip() for p in parameters.split(",")]


def is_pointer(parameter):
    return "*" in parameter or "[" in parameter or parameter.split()[0].endswith("_fn")


def calls(result, name, parameters):
    names = [re.sub(r"\[.*\]", "", p).split()[-1].lstrip("*") for p in parameters]
    pointers = [k for k, p in enumerate(parameters) if is_pointer(p)]
    needed = [k for k in pointers if names[k] not in MAY_BE_NULL and "%s.%s" % (name, names[k]) not in MAY_BE_NULL]
    for missing in needed:
        arguments = []
        for k, parameter in enumerate(parameters):
            known = re.match(r"(?:const )?(hsae_(?:context|device|dataset|model|trainer|session|tensor_file)) \*\w+$", parameter)
            if k not in pointers:
                arguments.append("0")
            elif k == missing or k not in needed:
                arguments.append("NULL")
            elif known:
                arguments.append("things->%s" % known.group(1)[5:])
            else:
                arguments.append("(void *)things->memory")
        call = "%s(%s)" % (name, ", ".join(arguments))
        if result == "hsae_status":
            yield "    expect_refused(things, \"%s\", \"%s\", %s);" % (name, names[missing], call)
        elif result == "void":
            yield "    %s;" % call
        elif result.endswith("*") or result in ("uint64_t", "uint32_t", "size_t", "float", "double", "bool"):
            yield "    expect_nothing(\"%s\", !%s);" % (name, call)
        else:
            yield "    expect_zeros(\"%s\", &(%s[]){%s}, sizeof(%s));" % (name, result, call, result)
    if DESTRUCTOR.search(name) and "**" in parameters[0]:
        yield "    %s((void *)things->nothing);" % name


def main():
    out, headers = sys.argv[1], [pathlib.Path(path) for path in sys.argv[2:]]
    lines, count = [], 0
    for header in headers:
        for result, name, parameters in functions(header):
            count += 1
            lines += calls(result, name, parameters)
    if count < 70:
        sys.exit("%d functions were found in the headers: they are no longer written as this script expects" % count)
    pathlib.Path(out).write_text("/* Written by make_nulls.py. */\nstatic void call_all(const struct things *things)\n{\n%s\n}\n" % "\n".join(lines))


if __name__ == "__main__":
    main()
