#!/usr/bin/env python3
"""Shows that the structure checks fail when they should: each play is a small tree with one thing wrong in it.

    checks_can_fail.py ROOT COMPILER
"""
import os
import subprocess
import sys
import tempfile

ROOT, COMPILER = sys.argv[1], sys.argv[2]
LAYERS = [os.path.join(ROOT, ".ci/check-layers")]
HEADERS = [os.path.join(ROOT, ".ci/check-headers")]
RULES = [os.path.join(ROOT, ".ci/check-rules")]
DOCS = [os.path.join(ROOT, ".ci/check-docs")]
CHECKS = (LAYERS, HEADERS, RULES, DOCS)


def header(path, body=""):
    return f"/* {path} — a sample. */\n#pragma once\n{body}"


def function(lines):
    return "void f(void)\n{\n" + "    g();\n" * lines + "}\n"


def switch(cases):
    return "void f(int a)\n{\n    switch (a) {\n" + "".join(f"    case {n}:\n        return;\n" for n in range(cases)) + "    }\n}\n"


def table(rows):
    return "void f(void)\n{\n    static const int rows[] = {\n" + "        1,\n" * rows + "    };\n}\n"


# A tree that all checks accept; every play changes or adds the files it names.
GOOD = {
    "proxy/base/err.h": header("proxy/base/err.h", "enum err { OK };\n"),
    "metrics/cell.h": header("metrics/cell.h", '#include "proxy/base/err.h"\n'),
    "router/split.h": header("router/split.h", '#include "proxy/base/err.h"\n#include <stdint.h>\n'),
    "router/split.c": '#include "router/split.h"\n' + function(60),
    "canary/engine/judge.c": '#include "metrics/cell.h"\n',
    "canary/controller/controller.c": '#include "canary/engine/judge.h"\n#include "proxy/worker/crew.h"\n',
    "canary/engine/judge.h": header("canary/engine/judge.h"),
    "canary/cli/cli.c": '#include "proxy/base/err.h"\n',
    "proxy/worker/crew.h": header("proxy/worker/crew.h"),
    "proxy/main.c": '#include "canary/engine/judge.h"\n',
    "tests/unit/router/test_split.c": '#include "router/split.h"\n#include "tests/support/fake.h"\n',
    "tests/support/fake.h": header("tests/support/fake.h"),
    "tests/unit/router/test_table.c": table(100) + switch(50),
    "docs/page.md": "See [the other](.." "/README.md).\n",
    "README.md": "# A sample\n\n[Here](#a-sample), [there](docs/page.md) and `router/split.h`.\n",
}

# name, check, files that make it wrong, what the check must say
PLAYS = [
    ("arrow_to_the_right", LAYERS, {"metrics/cell.c": '#include "router/split.h"\n'}, "metrics may not see router"),
    ("proxy_looks_into_canary", LAYERS, {"proxy/worker/crew.c": '#include "canary/engine/judge.h"\n'},
     "proxy/worker may not see canary/engine"),
    ("router_is_narrower", LAYERS, {"router/split.c": '#include "metrics/cell.h"\n'}, "router may not see metrics"),
    ("engine_is_narrower", LAYERS, {"canary/engine/judge.c": '#include "router/split.h"\n'},
     "canary/engine may not see router"),
    ("cli_is_narrower", LAYERS, {"canary/cli/cli.c": '#include "canary/engine/judge.h"\n'},
     "canary/cli may not see canary/engine"),
    ("neighbours_on_one_floor", LAYERS,
     {"proxy/http1/a.h": header("proxy/http1/a.h"), "proxy/http2/b.c": '#include "proxy/http1/a.h"\n'},
     "proxy/http2 may not see proxy/http1"),
    ("nobody_sees_main", LAYERS, {"canary/controller/x.c": '#include "proxy/main.c"\n'},
     "canary/controller may not see proxy/main.c"),
    ("house_looks_at_tests", LAYERS, {"router/split.c": '#include "tests/support/fake.h"\n'}, "is not part of the house"),
    ("spelled_from_its_folder", LAYERS, {"router/split.c": '#include "split.h"\n'}, "is not spelled from the root"),
    ("spelled_with_dots", LAYERS, {"router/split.c": '#include "router/./split.h"\n'}, "is not spelled from the root"),
    ("spelled_from_its_folder_in_tests", LAYERS, {"tests/unit/router/test_split.c": '#include "fake.h"\n'},
     "is not spelled from the root"),
    ("ours_in_angles", LAYERS, {"router/split.c": "#include <router/split.h>\n"}, "write it in quotes"),
    ("missing_header", LAYERS, {"router/split.c": '#include "router/gone.h"\n'}, "does not exist"),
    ("unknown_room", LAYERS, {"proxy/attic/a.c": "\n"}, "stands in no room"),
    ("circle_of_rooms", LAYERS,
     {"canary/history/h.h": header("canary/history/h.h", '#include "canary/fetch/f.h"\n'),
      "canary/fetch/f.h": header("canary/fetch/f.h", '#include "canary/alert/a.h"\n'),
      "canary/alert/a.h": header("canary/alert/a.h", '#include "canary/history/h.h"\n')},
     "a circle of includes: canary/alert -> canary/history -> canary/fetch -> canary/alert"),
    ("header_leans_on_another", HEADERS, {"router/split.h": header("router/split.h", "uint32_t weight(void);\n")},
     "router/split.h: does not compile alone"),
    ("header_without_once", HEADERS, {"router/split.h": "/* router/split.h — a sample. */\n"}, "has no #pragma once"),
    ("unbounded_copy", RULES, {"router/split.c": "void f(char *a)\n{\n    strcpy(a, a);\n}\n"}, "strcpy is not used"),
    ("unbounded_print", RULES, {"router/split.c": 'void f(char *a)\n{\n    sprintf (a, "x");\n}\n'},
     "sprintf is not used"),
    ("stack_allocation", RULES, {"router/split.c": "void *f(void)\n{\n    return alloca(1);\n}\n"}, "alloca is not used"),
    ("idle_if", RULES, {"router/split.c": "void f(int a)\n{\n    if (!g(a,\n           1)) {\n    }\n    h();\n}\n"},
     "router/split.c:5: an if that does nothing"),
    ("work_left_undone", RULES, {"router/split.c": "/* TO" "DO: later */\n"}, "work left undone"),
    ("work_left_undone_in_docs", RULES, {"docs/page.md": "FIX" "ME\n"}, "docs/page.md:1: work left undone"),
    ("tab", RULES, {"router/split.c": "int\ta;\n"}, "a tab"),
    ("long_line", RULES, {"router/split.c": "/* " + "x" * 120 + " */\n"}, "a line of 126 columns"),
    ("path_of_one_machine", RULES, {"docs/page.md": "Look into /ho" "me/someone/serin.\n"}, "a path of one machine"),
    ("way_out_of_the_tree", RULES, {"docs/page.md": "See .." "/.." "/elsewhere/notes.\n"}, "leads out of the tree"),
    ("way_to_a_neighbour", RULES, {"bench/run": "cat .." "/neighbour/notes\n"}, "leads out of the tree"),
    ("long_function", RULES, {"router/split.c": function(61)}, "a function of 61 lines"),
    ("long_switch", RULES, {"router/split.c": switch(40)}, "a function of 82 lines"),
    ("long_table_within", RULES, {"router/split.c": table(61)}, "a function of 63 lines"),
    ("long_file", RULES, {"router/split.c": "int a;\n" * 801}, "a file of 802 lines"),
    ("dead_link", DOCS, {"docs/page.md": "[Gone](gone.md)\n"}, "docs/page.md:1: gone.md leads nowhere"),
    ("dead_heading", DOCS, {"docs/page.md": "[Gone](.." "/README.md#gone)\n"}, "README.md has no such heading"),
    ("dead_path", DOCS, {"docs/page.md": "`router/gone.c` says so.\n"}, "there is no router/gone.c"),
    ("document_that_no_list_has", DOCS, {"docs/README.md": "Nothing.\n"}, "docs/README.md does not list docs/page.md"),
    ("header_without_a_name", RULES, {"router/split.h": "#pragma once\n"}, "a header begins with"),
]

# Things that look wrong and are not.
HARMLESS = {
    "tests/unit/router/table.c": "void f(void)\n{\n    static const int t[] = {\n" + "        1,\n" * 100 + "    };\n}\n",
    "tests/unit/router/list.c": "void f(int a)\n{\n    switch (a) {\n" + "    case 1:\n" * 100 + "    }\n}\n",
    "router/text.c": '/* strcpy(a, b) is not used here */\nconst char *a = "strcpy(a, b)";\n',
    "router/mask.c": 'const char *a = "/tmp/fileXX' 'XXXX";\nint my_sprintf(int a);\n',
    "router/wait.c": "void f(int a)\n{\n    while (g(a)) {\n    }\n    if (a) {\n        h();\n    }\n}\n",
    "docs/else.md": "[Far](https://example.com/x) and `[not](a-link)`.\n\n```\n[nor](this)\n```\n",
    "tests/e2e/walk.py": 'PATH = "/a/../b"\n',
}


def command(check, tree):
    return check + [tree, COMPILER, "-std=c11"] if check is HEADERS else check + [tree]


def run(check, changes):
    with tempfile.TemporaryDirectory() as tree:
        for path, text in {**GOOD, **changes}.items():
            os.makedirs(os.path.join(tree, os.path.dirname(path)), exist_ok=True)
            with open(os.path.join(tree, path), "w", encoding="utf-8") as file:
                file.write(text)
        done = subprocess.run(command(check, tree), capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def main():
    failures = 0
    for check in CHECKS:
        code, said = run(check, HARMLESS)
        if code != 0:
            failures += 1
            print(f"{check[0]} refuses a good tree:\n{said}")
    for name, check, changes, words in PLAYS:
        code, said = run(check, changes)
        if code != 1 or words not in said:
            failures += 1
            print(f"{name}: exit {code}, expected 1 with '{words}':\n{said}")
    print(f"{len(PLAYS) + len(CHECKS)} plays, {failures} failures")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
