"""Which bundle is served: the champion that training crowned, also when it is crowned while we serve."""

import asyncio
import logging
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import ForyouError, NotFound
from core.manifest import CHAMPION
from feeds.bundle import read_bundle, restore_words

if TYPE_CHECKING:
    from foryou.bootstrap import Product

_log = logging.getLogger(__name__)


def champion_folder(bundles: Path) -> Path:
    """The folder of the bundle to serve; NotFound when nothing was trained."""
    path = bundles / CHAMPION
    if not path.is_file():
        raise NotFound(f"There is no trained bundle in {bundles}; run `foryou train` (or `foryou demo`) first.")
    return bundles / path.read_text().strip()


class ChampionFollower:
    """Looks for another champion and puts it in the place of the bundle that is served; requests go on meanwhile.

    A bundle that cannot be served, such as one of another build, is told of once, and the old one stays.
    """

    def __init__(self, product: "Product") -> None:
        self._product = product
        self._refused = ""

    async def run(self) -> None:
        """Look for ever."""
        while True:
            await asyncio.sleep(self._product.settings.bundle_check_s)
            await self.look()

    async def look(self) -> bool:
        """Whether another bundle is served now."""
        p = self._product
        try:
            folder = champion_folder(p.settings.bundles)
        except (NotFound, OSError):
            return False
        if folder.name in (p.bundle.manifest.bundle_id, self._refused):
            return False
        try:
            bundle = await asyncio.to_thread(read_bundle, folder, p.state, p.state.table.as_it_is(), p.clock())
        except (ForyouError, OSError) as error:
            self._refused = folder.name
            _log.warning("Bundle %s goes on being served: %s", p.bundle.manifest.bundle_id, error)
            return False
        bundle.table = p.state.table
        restore_words(folder, p.state)
        p.take(bundle)
        _log.info("Bundle %s is served now.", folder.name)
        return True
