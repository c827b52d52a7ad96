"""SQL text as single statements, for what must not run in a transaction: a query of several is one to PostgreSQL."""

import re

# PostgreSQL, section 4.1. A semicolon in a comment, a string or a quoted identifier ends nothing. A comment within
# a comment is not understood.
_TOKEN = re.compile(
    r"""
    (?P<comment> --[^\n]* | /\*.*?\*/ )
    | (?P<end> ; )
    | \$ (?P<tag> [^\W\d]\w* )? \$ .*? \$ (?(tag)(?P=tag)) \$
    | \b [eE] '(?: [^'\\] | '' | \\. )*'
    | '(?: [^'] | '' )*'
    | "(?: [^"] | "" )*"
    | \w [\w$]*
    | .
    """,
    re.VERBOSE | re.DOTALL,
)


def split(sql: str) -> list[str]:
    """Return the statements of a text in order, without comments and the semicolons that end them."""
    statements = [""]
    for token in _TOKEN.finditer(sql):
        if token["end"]:
            statements.append("")
        else:
            statements[-1] += " " if token["comment"] else token[0]
    return [statement.strip() for statement in statements if statement.strip()]
