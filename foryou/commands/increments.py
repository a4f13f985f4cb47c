"""What `foryou train --incremental` does in a home: drift is looked for, and the served bundle goes on learning."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from core.errors import InputError
from foryou.console import Steps

if TYPE_CHECKING:
    from core.manifest import Manifest
    from core.settings import Settings
    from training.config import TrainConfig
    from training.drift import DriftReport
    from training.log_data import LogData
    from training.parent import Parent
    from training.publication import Publication

SLATES = 2_000


def found_drift(settings: "Settings", steps: Steps) -> "DriftReport | None":
    """How far the newest slates are from what the served bundle learned from; None where they are too few to say."""
    from core.errors import NotFound
    from foryou.commands.drift import drift_of_home, newest_served

    steps.begin("looking for drift")
    try:
        return drift_of_home(settings, asyncio.run(newest_served(settings, SLATES)))
    except NotFound:  # no bundle, or one without a window: the training says what it needs
        return None
    except InputError:  # too few slates
        return None


def warning_of(report: "DriftReport") -> str:
    """The one sentence of an alert."""
    most = ", ".join(report.alerts[:5]) + (", ..." if len(report.alerts) > 5 else "")
    return (
        f"Warning: {len(report.alerts)} of {len(report.moved)} features and predictions moved beyond the bounds since"
        f" bundle {report.bundle} was trained ({most}); `foryou drift` shows all."
    )


def watched(how: "Publication", report: "DriftReport | None") -> "Publication":
    """The publication whose run says what drift was found."""
    if report is None:
        return replace(how, tags={"drift": "too few slates"})
    figures = {
        "drift/alerts": float(len(report.alerts)),
        "drift/slates": float(report.slates),
        "drift/largest_psi": max((moved.psi for moved in report.moved), default=0.0),
    }
    return replace(how, tags={"drift": ", ".join(report.alerts)[:4_000] or "none"}, metrics=figures)


def watched_parent(
    settings: "Settings", steps: Steps, tell: Callable[[str], None]
) -> "tuple[Parent, DriftReport | None]":
    """The bundle to go on from, and what drift it met, which is warned of; NotFound without a bundle."""
    from training.parent import parent_of

    parent, report = parent_of(settings.bundles), found_drift(settings, steps)
    if report is not None and report.alerts:
        tell(warning_of(report))
    return parent, report


def continue_or_train(
    data: "LogData",
    parent: "Parent",
    settings: "Settings",
    config: "TrainConfig",
    now_ms: int,
    steps: Steps,
    how: "Publication",
) -> "Manifest":
    """An increment of the served bundle; where its shape does not allow one, a sentence and a full training."""
    from training.incremental import increment
    from training.incremental_towers import CannotContinue
    from training.pipeline import train

    try:
        return increment(data, parent, config, settings.home, now_ms, steps, how)[0]
    except CannotContinue as error:
        how.tell(f"Bundle {parent.manifest.bundle_id} is not continued, {error.sentence}: everything is trained anew.")
        return train(data, config, settings.home, now_ms, steps, None, how)[0]
