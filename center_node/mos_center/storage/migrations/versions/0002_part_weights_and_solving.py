"""Weights per part, and all that decides how a fusion is solved and exported."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

WEIGHTS = ("weight_text_encoder", "weight_cross_kv", "weight_spatial")


def upgrade() -> None:
    op.add_column("fusions", sa.Column("lbfgs_steps", sa.JSON(none_as_null=True), nullable=True))
    op.add_column(
        "fusions", sa.Column("refine_rounds", sa.Integer(), server_default="0", nullable=False)
    )
    op.add_column("fusions", sa.Column("exports", sa.JSON(), server_default="[]", nullable=False))
    for name in WEIGHTS:
        op.add_column("fusion_concepts", sa.Column(name, sa.Float(), nullable=True))
    op.execute(f"UPDATE fusion_concepts SET {', '.join(f'{name} = weight' for name in WEIGHTS)}")
    with op.batch_alter_table("fusion_concepts") as table:
        for name in WEIGHTS:
            table.alter_column(name, existing_type=sa.Float(), nullable=False)
        table.drop_column("weight")


def downgrade() -> None:
    op.add_column("fusion_concepts", sa.Column("weight", sa.Float(), nullable=True))
    # One weight can't tell three: the spatial layers are most of the model.
    op.execute("UPDATE fusion_concepts SET weight = weight_spatial")
    with op.batch_alter_table("fusion_concepts") as table:
        table.alter_column("weight", existing_type=sa.Float(), nullable=False)
        for name in WEIGHTS:
            table.drop_column(name)
    for name in ("lbfgs_steps", "refine_rounds", "exports"):
        op.drop_column("fusions", name)
