"""A run in W&B that neither fails a run of ours nor keeps its process from ending, whatever its server does."""

import contextlib
import http.client
import logging
import ssl
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from vmc.utils.errors import VmcError

log = logging.getLogger(__name__)
Result = TypeVar("Result")

PROBE = 5.0
"""Seconds in which a server answers at all."""
BEGINNING = 20.0
"""Seconds in which it knows of a run."""
CALL = 30.0
"""Seconds in which W&B's own process takes numbers or videos; it uploads them by itself."""
ENDING = 10.0
"""Seconds that W&B may take to end beyond the limit that it is given."""


class WandbRun:
    """A run in W&B. What fails or takes too long is said once, and the run is then left as it stands on disk.

    Args:
        run: of the library.
        patience: seconds for the upload of what is left at the end.
        online: whether it is uploaded while it runs.
    """

    def __init__(self, run: Any, *, patience: float, online: bool) -> None:
        self._run: Any = run
        self.patience, self.online = patience, online
        self.entity: str | None = run.entity if online else None

    @classmethod
    def begin(cls, *, mode: str, patience: float, **settings: Any) -> "WandbRun":
        """Begin a run; offline where the server does not answer.

        Args:
            mode: online, offline or disabled.
            patience: as above.
            settings: of `wandb.init`.

        Raises:
            VmcError: W&B cannot be used: no key, or a setting of its own that is wrong.
        """
        import wandb

        failed = None
        try:
            if mode == "online":
                try:
                    if (failed := _no_answer()) is None:
                        run = within(BEGINNING + ENDING, lambda: _init("online", patience, settings))
                except (wandb.errors.AuthenticationError, wandb.errors.UsageError):
                    raise
                except (wandb.errors.CommError, TimeoutError, ConnectionError) as error:
                    failed = first_line(error)
                    _end_service()
            if mode != "online" or failed:
                run = _init("offline" if failed else mode, patience, settings)
        except (wandb.Error, OSError, ValueError) as error:
            raise VmcError(
                f"W&B cannot be used ({' '.join(str(error).split())}): wandb login, or give logger.mode=offline,"
                " or logger=csv to go without"
            ) from error
        if failed:
            log.warning(
                "W&B's server does not answer (%s): the run is kept offline; later, wandb sync %s uploads it",
                *(failed, _place(run)),
            )
        return cls(run, patience=patience, online=mode == "online" and not failed)

    def __call__(self, act: Callable[[Any], Any]) -> None:
        """Do something with the library's run, unless it has been left."""
        if self._run is None:
            return
        try:
            within(CALL, lambda: act(self._run))
        except (Exception, SystemExit) as error:  # the library raises of every kind
            self._leave(f"W&B fails ({first_line(error)}): the run goes on without it")

    def finish(self, exit_code: int) -> None:
        """End the run, once all of it is uploaded or the patience is over."""
        if self._run is None:
            return
        try:
            within(self.patience + ENDING, lambda: self._run.finish(exit_code=exit_code))
        except (Exception, SystemExit) as error:
            reason = f"no upload in {self.patience:.0f} s" if isinstance(error, TimeoutError) else first_line(error)
            self._leave(f"W&B has not got the whole run ({reason})")
        self._run = None

    def _leave(self, said: str) -> None:
        log.warning("%s; later, wandb sync %s uploads what it was shown", said, _place(self._run))
        run, self._run = self._run, None
        _end_service(run)


def within(seconds: float, act: Callable[[], Result]) -> Result:
    """What `act` returns or raises, in a thread that is left alone when the time is over.

    Raises:
        TimeoutError: it is over.
    """
    returned: list[Result] = []
    raised: list[BaseException] = []

    def call() -> None:
        try:
            returned.append(act())
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=call, name="wandb", daemon=True)  # the process does not wait for it
    thread.start()
    thread.join(seconds)
    if raised:
        raise raised[0]
    if not returned:
        raise TimeoutError(f"no answer in {seconds:.0f} s")
    return returned[0]


def _init(mode: str, patience: float, settings: dict[str, Any]) -> Any:
    import wandb

    limits = wandb.Settings(init_timeout=BEGINNING, finish_timeout=patience, finish_timeout_raises=True)
    return wandb.init(mode=mode, settings=limits, **settings)  # type: ignore[arg-type]


def _no_answer() -> str | None:
    """Why the server cannot be used, where that shows at once."""
    settings = _library().settings
    if settings.http_proxy or settings.https_proxy:  # W&B's alone
        return None
    try:
        return within(PROBE + 1, lambda: _problem(str(settings.base_url)))
    except TimeoutError:
        return f"no answer from {settings.base_url} in {PROBE:.0f} s"


def _problem(url: str) -> str | None:
    ask = urllib.request.Request(
        f"{url.rstrip('/')}/graphql",
        data=b'{"query": "{ __typename }"}',
        headers={"Content-Type": "application/json", "User-Agent": "vmc"},
    )
    try:
        with urllib.request.urlopen(ask, timeout=PROBE):
            return None
    except urllib.error.HTTPError as error:
        error.close()
        return f"{url} answers {error.code}" if error.code >= 500 else None  # it only wants a key
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        if isinstance(reason, ssl.SSLError):  # W&B's own process may trust the certificate
            return None
        return f"{url}: {first_line(reason)}"


def _end_service(run: Any = None) -> None:
    """End W&B's own process, whatever it waits for, and forget it, so that nothing waits for it when this one ends.

    The library starts another for its next run.
    """
    import wandb

    with contextlib.suppress(AttributeError):  # none is running, or it belongs to another process
        _library()._connection._proc._process.kill()  # the library has no public way
    # Gives the console back, which W&B reads too; both fail now.
    for end in (run.finish if run is not None else None, wandb.teardown):
        if end is not None:
            with contextlib.suppress(Exception, SystemExit):
                within(ENDING, end)


def _library() -> Any:
    from wandb.sdk import wandb_setup

    return wandb_setup.singleton()


def _place(run: Any) -> Path:
    return Path(run.settings.sync_dir)


def first_line(error: object) -> str:
    """An error in few words."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
