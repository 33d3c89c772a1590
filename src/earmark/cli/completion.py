"""Completion of commands and options: scripts for bash, zsh, fish and PowerShell."""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

OPTION = re.compile(r"(?<![\w-])--[a-z][\w.-]*")


@dataclass(frozen=True)
class CommandWords:
    """What can be completed after a command."""

    summary: str
    options: tuple[str, ...]


def options_of(print_help: Callable[[], object]) -> tuple[str, ...]:
    """The long options in the help of a command, in order."""
    output = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")  # then tyro draws the box in which options begin lines
    with contextlib.redirect_stdout(output), contextlib.suppress(SystemExit):
        print_help()
    output.seek(0)
    first_column = [line for line in output if re.match(r"│ (-\w\b|--)", line)]
    return tuple(dict.fromkeys(option for line in first_column for option in OPTION.findall(line)))


def completion_script(shell: str, words: Mapping[str, CommandWords]) -> str:
    """The script that a shell reads to complete `earmark`.

    Args:
        shell: `bash`, `zsh`, `fish` or `powershell`.
        words: the commands and their options.
    """
    return {"bash": _bash, "zsh": _zsh, "fish": _fish, "powershell": _powershell}[shell](words)


def _cases(words: Mapping[str, CommandWords], indent: str) -> str:
    return "\n".join(f'{indent}{name}) options="{" ".join(word.options)}" ;;' for name, word in words.items())


def _bash(words: Mapping[str, CommandWords]) -> str:
    return f"""\
# eval "$(earmark completion bash)"
_earmark() {{
    local word="${{COMP_WORDS[COMP_CWORD]}}" options=""
    if [ "$COMP_CWORD" -eq 1 ]; then
        COMPREPLY=($(compgen -W "{" ".join(words)}" -- "$word"))
        return
    fi
    case "${{COMP_WORDS[1]}}" in
{_cases(words, " " * 8)}
    esac
    if [[ "$word" == -* ]]; then
        COMPREPLY=($(compgen -W "$options" -- "$word"))
    else
        COMPREPLY=($(compgen -f -- "$word"))
    fi
}}
complete -o filenames -F _earmark earmark
"""


def _zsh(words: Mapping[str, CommandWords]) -> str:
    commands = "\n".join(f"        {_quote(f'{name}:{word.summary}')}" for name, word in words.items())
    return f"""\
#compdef earmark
# eval "$(earmark completion zsh)"   (after compinit)
_earmark() {{
    local -a commands
    local options=""
    commands=(
{commands}
    )
    if (( CURRENT == 2 )); then
        _describe command commands
        return
    fi
    case "${{words[2]}}" in
{_cases(words, " " * 8)}
    esac
    if [[ "${{words[CURRENT]}}" == -* ]]; then
        compadd -- ${{=options}}
    else
        _files
    fi
}}
compdef _earmark earmark
"""


def _fish(words: Mapping[str, CommandWords]) -> str:
    lines = ["# earmark completion fish > ~/.config/fish/completions/earmark.fish"]
    for name, word in words.items():
        lines.append(f"complete -c earmark -f -n __fish_use_subcommand -a {name} -d {_quote(word.summary)}")
        seen = f"'__fish_seen_subcommand_from {name}'"
        lines += [f"complete -c earmark -n {seen} -l {option.removeprefix('--')}" for option in word.options]
    return "\n".join(lines) + "\n"


def _powershell(words: Mapping[str, CommandWords]) -> str:
    table = "\n".join(
        f"    {_quote(name)} = @({', '.join(_quote(option) for option in word.options)})"
        for name, word in words.items()
    )
    return f"""\
# earmark completion powershell | Out-String | Invoke-Expression
$earmarkWords = [ordered]@{{
{table}
}}
Register-ArgumentCompleter -Native -CommandName earmark -ScriptBlock {{
    param($word, $ast, $position)
    $given = $ast.CommandElements | ForEach-Object {{ $_.ToString() }}
    $first = $given.Count -lt 2 -or ($given.Count -eq 2 -and $word)
    $candidates = if ($first) {{ $earmarkWords.Keys }} else {{ $earmarkWords[$given[1]] }}
    $candidates | Where-Object {{ $_ -like "$word*" }} |
        ForEach-Object {{ [System.Management.Automation.CompletionResult]::new($_) }}
}}
"""


def _quote(text: str) -> str:
    """Text in single quotes; apostrophes, which the four shells write differently, are left out."""
    return "'" + text.replace("'", "") + "'"
