"""The part of the ledger about how well a fast variant of an encoder agrees with the reference."""

from sqlalchemy import delete, insert, select

from milepost.entities.serving import Fidelity
from milepost.storage import tables
from milepost.storage.records.base import Records, from_json, own, to_json


class FidelityRecords(Records):
    """The newest check of each bundle on each variant."""

    def add_fidelity(self, fidelity: Fidelity, *, actor: str = tables.DEFAULT) -> None:
        """Keep a check; it takes the place of an earlier one of the bundle on the variant."""
        table = tables.fidelities
        of_it = own(table, self.tenant, bundle=fidelity.bundle, variant=fidelity.variant)
        with self.database.write(self.tenant) as connection:
            connection.execute(delete(table).where(*of_it))
            connection.execute(
                insert(table).values(
                    tenant=self.tenant,
                    bundle=fidelity.bundle,
                    variant=fidelity.variant,
                    record=to_json(fidelity),
                    created=self.clock(),
                    actor=actor,
                )
            )

    def fidelity(self, bundle: str, variant: str) -> Fidelity | None:
        """The newest check of a bundle on a variant; ``None`` when there was none."""
        table = tables.fidelities
        with self.database.read() as connection:
            record = connection.scalar(
                select(table.c.record).where(
                    *own(table, self.tenant, bundle=bundle, variant=variant)
                )
            )
        return None if record is None else from_json(record, Fidelity, where=f"fidelity {bundle}")
