"""Do stock and orders agree? Nothing but arithmetic, over what the databases of one moment say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ordermgmt.inventory.contract import Balance

__all__ = ["Account", "balance"]

Good = tuple[str, str]
"""Category and code."""


@dataclass(frozen=True, slots=True)
class Account:
    """Where the pieces of one good are.

    `adjusted` were added as goods altogether, the first stock among them, and `moved` given by operations, less those
    that they took: so much inventory says. `held` are in orders, and `under_way` were taken for changes that inventory
    has decided and that no order shows yet (negative: given back): so much the order service says.
    """

    category: str
    code: str
    adjusted: int
    moved: int
    stock: int
    held: int
    under_way: int

    @property
    def missing(self) -> int:
        """Pieces that were added, and are neither in stock nor with orders; negative if there are too many."""
        return self.adjusted - self.stock - self.held - self.under_way

    @property
    def agrees(self) -> bool:
        """Whether all pieces are accounted for, and inventory agrees with itself."""
        return self.missing == 0 and self.adjusted + self.moved == self.stock


def balance(
    balances: Iterable[Balance], held: Mapping[Good, int], decided: Iterable[Mapping[Good, int]]
) -> list[Account]:
    """Return an account of each good, by category and code; one that only orders know has none in stock.

    `decided` are the deltas of the unfinished changes that inventory has applied: negative is taken.
    """
    under_way: Counter[Good] = Counter()
    for deltas in decided:
        for good, delta in deltas.items():
            under_way[good] -= delta
    known = {(row.category, row.code): row for row in balances}
    accounts = []
    for good in sorted({*known, *held, *under_way}):
        row = known.get(good, Balance(*good, 0, 0, 0))
        pieces = (row.adjusted, row.moved, row.qty, held.get(good, 0), under_way[good])
        accounts.append(Account(*good, *pieces))
    return accounts
