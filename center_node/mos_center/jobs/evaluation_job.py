"""The job behind an evaluation: sample, measure, write down; see `durable` for what steps are.

Pictures lie in the evaluation's own work folder until it ends. After every few of them the ledger
is told, and asked whether somebody cancelled.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from mos_diffusion.evaluation.alignment import Clip, load_clip, open_picture
from mos_diffusion.evaluation.prompts import read_prompts
from mos_protocol.errors import InvalidRequest, JobFailed, MosError, Unavailable
from mos_protocol.manifest import sha256_of

from mos_center.domain.evaluations import EvaluationPlan
from mos_center.domain.jobs import Job, kind_of
from mos_center.domain.models import StoredFile
from mos_center.domain.ports import BlobStore, EvaluationLedger
from mos_center.domain.request_context import request_id
from mos_center.fusion.evaluation_parts import (
    Case,
    SamplingPart,
    Table,
    cases_of,
    sampling_parts,
    sampling_settings,
)
from mos_center.fusion.evaluation_scores import draw_grid, score, settings_told, summary
from mos_center.fusion.parallel import compute_device
from mos_center.jobs.durable import Steps
from mos_center.jobs.endings import NotWantedError, unexpected
from mos_center.jobs.patience import Patience
from mos_center.jobs.recipes import concept_source
from mos_center.jobs.version_folder import version_folder

log = logging.getLogger(__name__)

_TELLS = 3
_MEASURING = "measure"
_LOST = JobFailed("The evaluation's job was lost.", hint="Ask for another evaluation.")
_KILLED = JobFailed(
    "The evaluation ended its worker again and again.",
    hint="See the workers' log, for example for lack of memory.",
)


@dataclass(frozen=True)
class EvaluationTools:
    """What it is measured with: a CLIP's folder or hub id, and a file of prompts or the usual."""

    clip: str
    prompts: Path | None = None

    def load(self) -> Clip:
        """The CLIP; raises `InvalidRequest` when there is none."""
        if not self.clip:
            raise InvalidRequest(
                "This worker has no CLIP to measure with: MOS_EVALUATION_CLIP is not set.",
                hint="An admin sets it for workers as for the API, then ask again.",
            )
        return load_clip(self.clip, compute_device())


@dataclass(frozen=True)
class _Run:
    """One worker's attempt at an evaluation."""

    plan: EvaluationPlan
    cases: Sequence[Case]
    parts: Sequence[SamplingPart]

    @property
    def id(self) -> str:
        return self.plan.evaluation.id

    @property
    def total(self) -> int:
        """Pictures of all parts."""
        return sum(part.pictures for part in self.parts)

    def before(self, number: int) -> int:
        """Pictures of the parts before this one."""
        return sum(part.pictures for part in self.parts[:number])

    def tables(self, number: int) -> dict[str, Table]:
        """The pictures of one concept by the name of the model."""
        base, *own, version = self.parts
        return {
            "class_word": base.tables()[number],
            "own": own[number].tables()[0],
            "fused": version.tables()[number],
        }


class EvaluationJob:
    """Runs evaluations that a ledger describes; `work` holds one folder per evaluation."""

    def __init__(
        self,
        ledger: EvaluationLedger,
        blobs: BlobStore,
        work: Path,
        tools: EvaluationTools,
        patience: Patience | None = None,
    ) -> None:
        self._ledger = ledger
        self._blobs = blobs
        self._work = work
        self._tools = tools
        self._patience = patience or Patience()

    def unfinished(self) -> Sequence[Job]:
        """The evaluations that are to be done."""
        return self._ledger.unfinished()

    def lost(self, job_id: str, *, killed: bool) -> bool:
        """Its job ended and nobody heard of it: it is not run again."""
        self._ledger.failed(job_id, _KILLED if killed else _LOST)
        return False

    def run(self, evaluation_id: str, step: Steps) -> None:
        """Evaluate, or tell the ledger why not."""
        try:
            self._evaluate(evaluation_id, step)
        except NotWantedError:
            log.info("evaluation.stopped id=%s", evaluation_id)
        except MosError as error:
            self._fail(evaluation_id, error)
        except Exception as error:
            log.exception("evaluation.crashed id=%s", evaluation_id)
            self._fail(evaluation_id, unexpected("evaluation", evaluation_id, error))
        self._tidy()

    def _evaluate(self, evaluation_id: str, step: Steps) -> None:
        plan = self._patience(partial(self._ledger.begin, evaluation_id))
        if plan is None:
            return
        asked = request_id.set(plan.evaluation.request_id)
        try:
            run = self._run(plan)
            step("prepare", self._check_clip)
            for number, part in enumerate(run.parts):
                if not step(part.name, partial(self._sample, run, number)):
                    raise NotWantedError
            step(_MEASURING, partial(self._measure, run))
        finally:
            request_id.reset(asked)

    def _run(self, plan: EvaluationPlan) -> _Run:
        request, folder = plan.evaluation.request, self._work / plan.evaluation.id
        concepts = [concept_source(concept, self._blobs) for concept in plan.concepts]
        cases = cases_of(concepts, request, read_prompts(self._tools.prompts))
        published = partial(version_folder, plan.version, self._blobs, folder / "version")
        settings = sampling_settings(request)
        return _Run(plan, cases, sampling_parts(plan.base.path, published, cases, settings, folder))

    def _check_clip(self) -> None:
        """Before hours of sampling: the CLIP can be loaded."""
        self._tools.load()

    def _sample(self, run: _Run, number: int) -> bool:
        """Make one part's pictures; False when nobody wants them any more."""
        part, before = run.parts[number], run.before(number)

        def on_picture(done: int, total: int) -> None:
            self._tell(run, before + done, part.name)

        try:
            part.run(on_picture)
        except NotWantedError:
            return False
        return True

    def _tell(self, run: _Run, done: int, message: str) -> None:
        # A worker that stops does not wait until all pictures are made.
        self._patience.pause(0)
        told = partial(self._ledger.progress, run.id, done, run.total, message)
        if not self._patience(told):
            raise NotWantedError

    def _measure(self, run: _Run) -> None:
        """Score the pictures, put the grids into the store, and write all down."""
        for number, part in enumerate(run.parts):
            # Steps that returned are not run again by themselves, and another host has no files.
            if not part.is_done() and not self._sample(run, number):
                return
        try:
            self._tell(run, run.total, _MEASURING)
        except NotWantedError:
            return
        clip, concepts = self._tools.load(), []
        for number, case in enumerate(run.cases):
            concepts.append(score(clip, case, run.tables(number)))
        side = open_picture(run.tables(0)["fused"][0][0]).width
        result = {
            **settings_told(run.parts[0].settings, clip, side),
            "prompts": {
                case.prompts.kind: [prompt.text for prompt in case.prompts.prompts]
                for case in run.cases
            },
            "concepts": concepts,
            "mean": summary(concepts),
        }
        self._put(run, result)

    def _put(self, run: _Run, result: Mapping[str, object]) -> None:
        for attempt in range(1, _TELLS + 1):
            grids = {number: self._grid(run, number) for number in range(len(run.cases))}
            try:
                self._ledger.done(run.id, result, grids)
                return
            except Unavailable:
                if attempt == _TELLS:
                    raise

    def _grid(self, run: _Run, number: int) -> StoredFile:
        path = draw_grid(run.tables(number), self._work / run.id / f"grid-{number}.png")
        digest = sha256_of(path)
        self._blobs.put_file(path, digest)
        return StoredFile(digest, path.stat().st_size)

    def _fail(self, evaluation_id: str, error: MosError) -> None:
        self._patience(partial(self._ledger.failed, evaluation_id, error))

    def _tidy(self) -> None:
        """Remove the pictures of all evaluations that ended."""
        try:
            wanted = {kind_of(job.id)[1] for job in self._ledger.unfinished()}
        except Unavailable:
            # The next one tidies up.
            return
        for folder in self._work.iterdir() if self._work.is_dir() else ():
            if folder.name not in wanted:
                shutil.rmtree(folder, ignore_errors=True)
