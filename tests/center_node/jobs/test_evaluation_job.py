"""The job of an evaluation, on the tiny base: with a real worker, and whatever happens to it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import evaluated_center as helper
import pytest
from evaluated_center import CLIP, PICTURES, REQUEST, EvaluatedCenter, evaluated_center
from many_workers import until
from mos_center.domain.access import LOCAL
from mos_center.domain.evaluations import EvaluationPlan, EvaluationRequest, EvaluationState
from mos_center.domain.jobs import EVALUATION, Job, other_job
from mos_center.domain.models import StoredFile
from mos_center.jobs.evaluation_job import EvaluationJob, EvaluationTools
from mos_center.jobs.patience import Interrupted, Patience
from mos_center.processes.working import new_worker
from mos_protocol.errors import MosError
from PIL import Image
from servers import PostgresServer


@pytest.fixture
def center(tiny: SimpleNamespace, tmp_path: Path) -> Iterator[EvaluatedCenter]:
    with evaluated_center(tiny, tmp_path / "data") as found:
        yield found


@dataclass
class MemoryLedger:
    """An `EvaluationLedger` that remembers what it was told; `most` pictures are wanted."""

    plan: EvaluationPlan
    most: int = PICTURES
    told: list[int] = field(default_factory=list)
    results: list[Mapping[str, Any]] = field(default_factory=list)
    errors: list[MosError] = field(default_factory=list)

    def unfinished(self) -> tuple[Job, ...]:
        open_ones = [] if self.results or self.errors else [self.plan.evaluation.id]
        return tuple(Job(other_job(EVALUATION, one)) for one in open_ones)

    def begin(self, evaluation_id: str) -> EvaluationPlan | None:
        return self.plan

    def progress(self, evaluation_id: str, done: int, total: int, message: str) -> bool:
        self.told.append(done)
        return done <= self.most

    def done(
        self, evaluation_id: str, result: Mapping[str, Any], grids: Mapping[int, StoredFile]
    ) -> None:
        self.results.append(result)

    def failed(self, evaluation_id: str, error: MosError) -> None:
        self.errors.append(error)


def step(name: str, work: Callable[[], Any]) -> Any:
    return work()


@dataclass
class Bench:
    """A ledger in memory about an evaluation of the center, and jobs for it."""

    center: EvaluatedCenter
    ledger: MemoryLedger
    work: Path

    def job(self, clip: str = str(CLIP), patience: Patience | None = None) -> EvaluationJob:
        return EvaluationJob(
            self.ledger, self.center.data.blobs, self.work, EvaluationTools(clip), patience
        )

    def pictures(self) -> dict[Path, int]:
        """When each picture was made."""
        return {path: path.stat().st_mtime_ns for path in self.work.rglob("pictures/*/*.png")}


@pytest.fixture
def new_bench(center: EvaluatedCenter, tmp_path: Path) -> Callable[..., Bench]:
    def make(request: EvaluationRequest = REQUEST) -> Bench:
        evaluation = center.request(request)
        plan = center.data.evaluation_ledger().begin(evaluation.id)
        assert plan is not None
        return Bench(center, MemoryLedger(plan), tmp_path / "work")

    return make


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_worker_evaluates_a_version_and_writes_down_what_it_found(
    kind: str, tiny: SimpleNamespace, postgres: PostgresServer, tmp_path: Path
) -> None:
    url = postgres.url(postgres.new_database()) if kind == "postgresql" else ""
    with evaluated_center(tiny, tmp_path / "data", url) as center:
        worker = new_worker(center.data, center.settings)
        worker.start()
        evaluation = center.request()
        until(lambda: center.read(evaluation).state.is_finished)
        worker.stop()
        done = center.read(evaluation)
        grid = center.data.center().evaluations.grid(done.id, 1, caller=LOCAL)
        with center.data.blobs.open(grid.sha256) as file:
            sheet = Image.open(BytesIO(file.read()))

    assert (done.state, done.error) == (EvaluationState.DONE, None)
    assert (done.progress.done, done.progress.total) == (PICTURES, PICTURES)
    assert done.result is not None
    assert [item["concept"] for item in done.result["concepts"]] == ["ada/c0@1", "ada/c1@1"]
    assert done.result["clip"]["name"] == "clip"
    assert done.result["prompts"] == {"custom": list(helper.TEXTS)}
    for item in done.result["concepts"]:
        assert set(item["text"]) == set(item["identity"]) == {"class_word", "own", "fused"}
        assert all(0 <= one["mean"] <= 1 for one in item["identity"].values())
    assert set(done.grids or ()) == {0, 1}
    # Two prompts wide, three models high, of 32 pixels each.
    assert sheet.size == (64, 96)
    assert list(center.settings.evaluations.iterdir()) == []


def test_a_killed_evaluation_goes_on_and_makes_no_picture_twice(
    center: EvaluatedCenter, tmp_path: Path
) -> None:
    evaluation = center.request()
    folder = center.settings.data
    process = subprocess.Popen([sys.executable, helper.__file__, folder, "8"])
    try:
        until((folder / "hangs").exists)
    finally:
        process.kill()
        process.wait()
    made = set(center.settings.evaluations.rglob("pictures/*/*.png"))
    times = {path: path.stat().st_mtime_ns for path in made}
    worker = new_worker(center.data, center.settings)
    worker.start()
    kept = {}

    def finished() -> bool:
        kept.update({path: path.stat().st_mtime_ns for path in made if path.exists()})
        return center.read(evaluation).state.is_finished

    until(finished)
    worker.stop()

    assert len(made) >= 8
    assert kept == times
    assert center.read(evaluation).state is EvaluationState.DONE


def test_what_is_cancelled_stops_before_all_pictures_are_made(
    new_bench: Callable[..., Bench],
) -> None:
    bench = new_bench()
    bench.ledger.most = 5

    bench.job().run("one", step)

    assert (bench.ledger.results, bench.ledger.errors) == ([], [])
    assert 5 < bench.ledger.told[-1] < PICTURES
    assert bench.ledger.told == sorted(bench.ledger.told)


def test_a_worker_that_stops_leaves_its_pictures_and_the_next_goes_on(
    new_bench: Callable[..., Bench],
) -> None:
    bench = new_bench()
    patience = Patience()
    first = bench.job(patience=patience)

    def until_the_third_part(name: str, work: Callable[[], Any]) -> Any:
        if name.startswith("sample ada/c1"):
            patience.end()
        return work()

    with pytest.raises(Interrupted):
        first.run("one", until_the_third_part)
    before = bench.pictures()
    seen: dict[Path, int] = {}

    def looked(name: str, work: Callable[[], Any]) -> Any:
        seen.update(bench.pictures())
        return work()

    bench.job().run("one", looked)

    assert len(before) == 8
    assert before.items() <= seen.items()
    assert len(bench.ledger.results) == 1
    assert bench.pictures() == {}


def test_what_an_earlier_step_made_and_another_host_has_is_made_up_again(
    new_bench: Callable[..., Bench],
) -> None:
    bench = new_bench()

    def only_measures(name: str, work: Callable[[], Any]) -> Any:
        return work() if name == "measure" else True

    bench.job().run("one", only_measures)

    assert bench.ledger.errors == []
    assert len(bench.ledger.results) == 1


@pytest.mark.parametrize(
    ("request_", "clip", "message"),
    [
        (REQUEST, "", "MOS_EVALUATION_CLIP"),
        (REQUEST, "/there/is/none", "CLIP '/there/is/none' can't be loaded"),
        (EvaluationRequest(), str(CLIP), "class word 'ball' of ada/c0@1"),
        (EvaluationRequest("castle"), str(CLIP), "castle"),
    ],
)
def test_what_can_not_be_evaluated_fails_before_a_picture_is_made(
    request_: EvaluationRequest, clip: str, message: str, new_bench: Callable[..., Bench]
) -> None:
    bench = new_bench(request_)

    bench.job(clip).run("one", step)

    (error,) = bench.ledger.errors
    assert message in error.message
    assert error.hint
    assert bench.ledger.told == []


def test_a_lost_job_is_a_failed_evaluation(new_bench: Callable[..., Bench]) -> None:
    bench = new_bench()

    assert bench.job().lost("one", killed=True) is False
    assert "again and again" in bench.ledger.errors[0].message
