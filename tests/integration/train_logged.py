"""`foryou train --logged` on a home with fewer joined rows than a product would learn from: a process of its own.

python -m tests.integration.train_logged HOME FEWEST_ROWS
"""

import sys
from pathlib import Path

from core.settings import Settings, wait_quietly

wait_quietly()

from foryou.commands.training import config_of, train_home  # noqa: E402
from foryou.console import Steps, show_json  # noqa: E402


def main(home: str, fewest_rows: str) -> None:
    """Train quickly, and print the manifest."""
    settings = Settings(home=Path(home), threads=1)
    quick = {"min_logged_rows": int(fewest_rows), "refit_towers": False}
    config = config_of(settings, 0, 10, 1, None).model_copy(update=quick)
    with Steps() as steps:
        show_json(train_home(settings, config, steps, logged=True))


if __name__ == "__main__":
    main(*sys.argv[1:])
