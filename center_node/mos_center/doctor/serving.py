"""Checks of how a center is reached and who works for it: TLS, tokens, workers, device."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path

from cryptography import x509

from mos_center.doctor.findings import Finding, fail, ok, warn
from mos_center.domain.access import LOCAL
from mos_center.domain.states import FusionState
from mos_center.processes.tls import TlsFiles
from mos_center.service.tokens import TokenService
from mos_center.settings import Settings
from mos_center.storage.database import SqlDatabase
from mos_center.storage.probes import answers, sessions_named

SOON = timedelta(days=21)
# What workers on PostgreSQL call their session, and the file that the one on SQLite locks.
WORKER_SESSION = "mos-worker-slot"


def tls(settings: Settings) -> Iterator[Finding]:
    """The certificate can be used, now and for some weeks."""
    files = TlsFiles.of(settings)
    if files is None:
        yield _without_tls(settings)
        return
    certificate = x509.load_pem_x509_certificates(files.cert.read_bytes())[0]
    now = datetime.now(UTC)
    ends = certificate.not_valid_after_utc
    told = (
        f"{files.cert} is valid from {certificate.not_valid_before_utc:%Y-%m-%d} to {ends:%Y-%m-%d}"
    )
    if not certificate.not_valid_before_utc <= now <= ends:
        yield fail("tls", f"{told}: not today", "Renew it; a running center takes it up.")
    elif ends - now < SOON:
        yield warn("tls", told, "Renew it soon; a running center takes it up.")
    else:
        yield ok("tls", told)


def _without_tls(settings: Settings) -> Finding:
    if settings.is_loopback:
        return ok("tls", "none, and only this machine can reach the center")
    return warn(
        "tls",
        f"none, and {settings.host} can be reached from other machines",
        "Set MOS_TLS_CERT and MOS_TLS_KEY, or let a proxy with TLS be the only way in.",
    )


def access(settings: Settings, known: SqlDatabase) -> Iterator[Finding]:
    """Somebody can log in, and nobody can without."""
    now = datetime.now(UTC)
    service = TokenService(known, open_without_tokens=settings.is_loopback)
    tokens = service.all(caller=LOCAL)
    usable = [token for token in tokens if token.is_usable(now)]
    if usable:
        yield ok("access", f"{len(usable)} usable tokens")
    elif not settings.is_loopback:
        yield fail("access", "no usable token", "Run `mos-center token create NAME`.")
    elif tokens:
        yield warn("access", "all tokens are revoked or expired", "Create one, or none gets in.")
    else:
        yield warn(
            "access",
            "open: any program on this machine can do anything",
            "Run `mos-center token create NAME` to protect it.",
        )


def jobs(settings: Settings) -> Iterator[Finding]:
    """The database of the jobs answers."""
    if settings.jobs.startswith("sqlite") and not settings.jobs_database.exists():
        yield ok("jobs", "no job was run yet")
        return
    answers(settings.jobs)
    yield ok("jobs", "the jobs' database answers")


def workers(settings: Settings, known: SqlDatabase) -> Iterator[Finding]:
    """Somebody works if something waits."""
    with known.read() as transaction:
        waiting = transaction.counts.fusions().get(FusionState.QUEUED, 0)
    alive = _alive(settings)
    told = f"{alive} alive, {waiting} fusions wait"
    if waiting and not alive:
        yield warn("workers", told, "Start one with `mos-center worker`.")
    else:
        yield ok("workers", told)


def _alive(settings: Settings) -> int:
    if settings.jobs.startswith("postgresql"):
        return sessions_named(settings.jobs, WORKER_SESSION)
    return int(_is_locked(settings.data / "worker.lock"))


def _is_locked(path: Path) -> bool:
    if not path.exists():
        return False
    with path.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def device(settings: Settings) -> Iterator[Finding]:
    """What the settings want to compute on is there."""
    if settings.device in ("", "cpu"):
        yield ok("device", settings.device or "what the worker finds")
    elif find_spec("torch") is None:
        yield warn("device", f"{settings.device}: torch is not installed here", "Fine for an API.")
    else:
        yield _gpu(settings.device)


def evaluation(settings: Settings) -> Iterator[Finding]:
    """What versions are evaluated with is there."""
    clip, prompts = settings.evaluation_clip, settings.evaluation_prompts
    folder = Path(clip)
    if not clip:
        yield ok("evaluation", "off: MOS_EVALUATION_CLIP is not set")
    elif (folder / "config.json").is_file():
        yield ok("evaluation", f"the CLIP in {folder} is there")
    elif folder.is_absolute() or folder.exists():
        yield fail(
            "evaluation",
            f"{folder} is no folder of a CLIP",
            "Correct MOS_EVALUATION_CLIP: every evaluation will fail. API replicas do without.",
        )
    else:
        yield ok("evaluation", f"{clip}: a hub id, which workers fetch or have")
    if prompts is not None and not prompts.is_file():
        yield fail(
            "evaluation prompts",
            f"{prompts} is not there",
            "Correct MOS_EVALUATION_PROMPTS, or unset it for the usual prompts.",
        )


def _gpu(name: str) -> Finding:
    import torch

    index = int(name.partition(":")[2] or 0)
    if index < torch.cuda.device_count():
        return ok("device", f"{name}: {torch.cuda.get_device_name(index)}")
    return fail(
        "device",
        f"{name} is not there: torch sees {torch.cuda.device_count()} GPUs",
        "Check the driver and the container's GPU reservation, or set MOS_DEVICE=cpu.",
    )
