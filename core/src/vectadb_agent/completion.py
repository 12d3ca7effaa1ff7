"""Completion of the command line in bash, zsh and fish, made from the parser that reads it: the two never differ."""

from __future__ import annotations

import argparse
import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

SHELLS = ("bash", "zsh", "fish")


class Command(NamedTuple):
    """A command: its name, what it does, its options with theirs, and the words that may stand in it."""

    name: str
    help: str
    options: list[tuple[str, str]]
    words: list[str]


def script(parser: argparse.ArgumentParser, shell: str) -> str:
    """Return what the shell has to read: ``eval "$(vectadb-agent completion bash)"``."""
    commands = [*_commands(parser)]
    return {"bash": _bash, "zsh": _zsh, "fish": _fish}[shell](parser.prog, commands)


def _commands(parser: argparse.ArgumentParser) -> Iterator[Command]:
    for action in _actions(parser):
        if isinstance(action, argparse._SubParsersAction):
            helps = {choice.dest: choice.help or "" for choice in action._choices_actions}
            for name, command in action.choices.items():
                yield Command(name, helps.get(name, ""), [*_options(command)], [*_words(command)])


def _actions(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    return parser._actions


def _options(parser: argparse.ArgumentParser) -> Iterator[tuple[str, str]]:
    """Its own, and those of commands within it, each once."""
    found: dict[str, str] = {}
    for action in _actions(parser):
        found |= {option: action.help or "" for option in action.option_strings if option.startswith("--")}
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                found |= dict(_options(command))
    yield from found.items()


def _words(parser: argparse.ArgumentParser) -> Iterator[str]:
    """What may stand where no option does, and after options that take one of a few words."""
    for action in _actions(parser):
        if isinstance(action, argparse._SubParsersAction):
            yield from action.choices
        else:
            yield from map(str, action.choices or ())


def _bash(prog: str, commands: list[Command]) -> str:
    function = "_" + re.sub(r"\W", "_", prog)
    cases = "\n".join(
        f"    {each.name}) words='{' '.join([*each.words, *(option for option, _ in each.options)])}' ;;"
        for each in commands
    )
    names = " ".join(each.name for each in commands)
    return f"""\
{function}() {{
  local words current=${{COMP_WORDS[COMP_CWORD]}}
  case ${{COMP_WORDS[1]}} in
{cases}
    *) words='{names} --help --version' ;;
  esac
  if [ "$COMP_CWORD" -eq 1 ]; then words='{names} --help --version'; fi
  COMPREPLY=($(compgen -W "$words" -- "$current"))
}}
complete -o default -o bashdefault -F {function} {prog}
"""


def _zsh(prog: str, commands: list[Command]) -> str:
    function = "_" + re.sub(r"\W", "_", prog)
    described = "\n".join(f"    {_quoted(f'{each.name}:{_short(each.help)}')}" for each in commands)
    cases = "\n".join(
        f"    {each.name}) "
        + " ".join(
            [
                "_arguments",
                *(_quoted(f"{option}[{_bracketed(text)}]") for option, text in each.options),
                _quoted("*:word:" + (f"({' '.join(each.words)})" if each.words else "_files")),
            ]
        )
        + " ;;"
        for each in commands
    )
    return f"""\
#compdef {prog}
{function}() {{
  local -a commands
  commands=(
{described}
  )
  if (( CURRENT == 2 )); then _describe command commands; return; fi
  local command=$words[2]
  shift words
  (( CURRENT-- ))
  case $command in
{cases}
  esac
}}
compdef {function} {prog}
"""


def _fish(prog: str, commands: list[Command]) -> str:
    lines = [
        f"complete -c {prog} -n __fish_use_subcommand -f -a {each.name} -d {_quoted(_short(each.help))}"
        for each in commands
    ]
    for each in commands:
        inside = f"complete -c {prog} -n '__fish_seen_subcommand_from {each.name}'"
        lines += [f"{inside} -l {option[2:]} -d {_quoted(_short(text))}" for option, text in each.options]
        lines += [f"{inside} -f -a {_quoted(' '.join(each.words))}"] if each.words else []
    return "\n".join(lines) + "\n"


def _short(text: str) -> str:
    return text.partition(";")[0].replace("%%", "%")


def _bracketed(text: str) -> str:
    return re.sub(r"([\[\]:\\])", r"\\\1", _short(text))


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"
