#!/usr/bin/env python3
"""Every line that a node logs is explained in docs/operations.md, and nothing is explained that no node logs.

Messages are looked up in the sources: the message argument of LOG, LOG_LIMITED and LOG_REFUSAL, or what the variable that
stands there is set to in the same file. Debug lines are for engineers and need no entry."""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
MESSAGE_AT = {"LOG": 2, "LOG_LIMITED": 5, "LOG_REFUSAL": 1}
LITERAL = re.compile(r'"((?:[^"\\]|\\.)*)"')


def arguments(text, start):
    """The top-level arguments of the call whose parenthesis opens before `start`."""
    parts, depth, begin, at = [], 0, start, start
    while True:
        c = text[at]
        if c == '"':
            at = LITERAL.match(text, at).end()
            continue
        if c in "([{":
            depth += 1
        elif c in ")]}":
            if depth == 0:
                return parts + [text[begin:at]]
            depth -= 1
        elif c == "," and depth == 0:
            parts.append(text[begin:at])
            begin = at + 1
        at += 1


def literals(text):
    """Adjacent literals are one message; those of `a ? "x" : "y"` or of an array are several."""
    return LITERAL.findall(re.sub(r'"\s*"', "", text))


def messages_of(argument, text):
    if '"' in argument:
        return literals(argument)
    name = re.match(r"\s*(\w+)", argument).group(1)
    set_to = r'\b%s\b[\w\[\]\s]*=\s*((?:"(?:[^"\\]|\\.)*"|[^;"])*);' % name
    return [m for value in re.findall(set_to, text) for m in literals(value)]


def passed_on(argument, text, at):
    """Whether the message is a parameter of the function around: of the classic groups' notes, which have one entry."""
    head = text[:at].rsplit("\n{", 1)[0].rsplit("\n\n", 1)[-1]
    return f"const char *{argument.strip()}" in head


def logged():
    """message -> where"""
    result, unresolved = {}, []
    for path in sorted((ROOT / "node").rglob("*.c")):
        text = path.read_text()
        for call in re.finditer(r"\b(%s)\(" % "|".join(MESSAGE_AT), text):
            parts = arguments(text, call.end())
            if any(part.strip() == "LOG_DEBUG" for part in parts):
                continue
            where = f"{path.relative_to(ROOT)}:{text.count(chr(10), 0, call.start()) + 1}"
            argument = parts[MESSAGE_AT[call.group(1)]]
            if passed_on(argument, text, call.start()):
                continue
            found = messages_of(argument, text)
            if not found:
                unresolved.append(where)
            for message in found:
                result.setdefault(message, where)
    return result, unresolved


def explained():
    text = (ROOT / "docs/operations.md").read_text()
    section = text.split("### Log lines", 1)[1].split("\n## ", 1)[0]
    rows = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    return [entry for row in rows for entry in re.findall(r"`([^`]+)`", row)]


def covers(entry, message):
    """An entry may be shortened with "..." at its end."""
    return message.startswith(entry[:-3].rstrip()) if entry.endswith("...") else message == entry


def main():
    messages, problems = logged()
    problems = [f"{where}: what does this line say? (not found in the same file)" for where in problems]
    entries = explained()
    problems += [f'{where}: "{m}" is not in the table of docs/operations.md'
                 for m, where in messages.items() if not any(covers(e, m) for e in entries)]
    problems += [f"docs/operations.md explains `{e}`, which no node logs"
                 for e in entries if not any(covers(e, m) for m in messages)]
    print("\n".join(problems) or f"{len(messages)} log lines, all explained")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
