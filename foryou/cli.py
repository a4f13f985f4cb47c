"""The command line: every command, and the one place where an error becomes a sentence and an exit code."""

import errno
import sys
from typing import NoReturn

import typer

from core.errors import ForyouError, StorageFull
from core.settings import wait_quietly
from foryou.commands import (
    boosts,
    demo,
    drift,
    evaluation,
    features,
    feed,
    importing,
    search,
    serving,
    stack,
    training,
    work,
    world,
)

EXIT_CODES = """Exit codes

0 done

1 the answer is no (a replay that differs, a bundle that is refused, a drift), or a bug, with its traceback

2 input that cannot be used

3 it names something that does not exist

4 a wrong setting, or a port in use

5 no valid identity

6 a store does not answer, or the disk is full

7 stored data is damaged or of another version

130 stopped by Ctrl-C"""


def build() -> typer.Typer:
    """The commands, none of which imports more than it needs."""
    app = typer.Typer(
        name="foryou",
        help="An open For-You engine: events become features, features become models, models become a slate.",
        epilog=EXIT_CODES,
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.command()(demo.demo)
    app.command()(world.world)
    app.add_typer(importing.group(), name="import")
    app.add_typer(work.group(), name="work")
    app.command()(training.train)
    app.command()(evaluation.evaluate)
    app.command()(search.search)
    app.command()(drift.drift)
    app.command()(serving.serve)
    app.command()(serving.token)
    app.command()(feed.feed)
    app.command()(feed.explain)
    app.command()(feed.replay)
    app.command()(boosts.boosts)
    app.add_typer(features.group(), name="features")
    app.add_typer(stack.group(), name="stack")
    return app


def main(arguments: list[str] | None = None) -> None:
    """Run one command and exit; an expected error is one sentence on stderr, a bug keeps its traceback."""
    wait_quietly()
    try:
        build()(arguments, prog_name="foryou")
    except ForyouError as error:
        if type(error).http_status == 500 and error.exit_code == 1:
            raise  # a broken contract is a bug
        _end(error)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        _end(StorageFull("No space is left where this run writes; free some and run it again, it goes on."))


def _end(error: ForyouError) -> NoReturn:
    print(error.sentence, file=sys.stderr)
    sys.exit(error.exit_code)
