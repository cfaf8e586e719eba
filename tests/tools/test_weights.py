"""Downloads from a server on this machine, and checks of files in the published formats with random weights."""

import errno
import hashlib
import re
import shutil
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from filelock import FileLock
from huggingface_hub import constants
from huggingface_hub.utils import filter_repo_objects
from safetensors.torch import load_file, save_file

from vmc import weights
from vmc.metrics.networks.classifiers import OnlineTSM
from vmc.metrics.networks.sscd import SSCDNetwork
from vmc.metrics.networks.trn import TRN, save_trn
from vmc.mini.makers.blank import write_blank
from vmc.mini.shipped import shipped
from vmc.models.animatediff import AnimateDiff
from vmc.tools import downloads as download
from vmc.tools.downloads import SOURCES, FileSource, get_file
from vmc.tools.weight_kinds import KINDS, check, recognize
from vmc.training.tuned_weights import Delta
from vmc.utils.errors import VmcError

CONTENT = bytes(torch.randint(0, 256, (300_000,), generator=torch.Generator().manual_seed(0), dtype=torch.uint8))
DIGEST = hashlib.sha256(CONTENT).hexdigest()


class Server:
    """Serves one file. `break_after` ends each answer after so many bytes; `ranges` says whether it knows them."""

    def __init__(self) -> None:
        self.content, self.tag = CONTENT, '"one"'
        self.ranges, self.break_after, self.status = True, None, 200
        self.asked: list[str | None] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                outer.asked.append(self.headers.get("Range"))
                self.wfile.write(outer.head(self)[: outer.break_after])

            def do_HEAD(self):
                outer.head(self)

            def log_message(self, *words):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self.thread.start()

    def head(self, request) -> bytes:
        """Answer with headers; what is to follow them."""
        if self.status != 200:
            request.send_error(self.status)
            return b""
        wanted = request.headers.get("Range") if self.ranges else None
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
        if start >= len(self.content):
            request.send_error(416)
            return b""
        request.send_response(206 if wanted else 200)
        if wanted:
            request.send_header("Content-Range", f"bytes {start}-{len(self.content) - 1}/{len(self.content)}")
        request.send_header("Content-Length", str(len(self.content) - start))
        if self.tag:
            request.send_header("ETag", self.tag)
        request.end_headers()
        return self.content[start:]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.http.server_port}/models/network.bin"


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 10_000)
    monkeypatch.setattr("huggingface_hub.file_download.time.sleep", lambda seconds: None)
    served = Server()
    yield served
    served.http.shutdown()
    served.http.server_close()
    served.thread.join()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "weights" / "network.bin"


def parts(path: Path) -> list[Path]:
    """What has come of a file whose download broke off."""
    return list(path.parent.glob("network.bin*.part"))


def broken_off(server, path, monkeypatch) -> None:
    """Leave the first 120,000 bytes, as a user does who interrupts a command that waits for the server."""

    def interrupt(seconds):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(server, "break_after", 120_000)
        patch.setattr("huggingface_hub.file_download.time.sleep", interrupt)
        with pytest.raises(KeyboardInterrupt):
            get_file(server.url, path)


def test_a_file_is_downloaded_once_and_recorded(path, server, monkeypatch):
    assert get_file(server.url, path)
    assert path.read_bytes() == CONTENT
    record = download.record_of(path)
    assert record["sha256"] == DIGEST and record["url"] == server.url and record["bytes"] == len(CONTENT)
    assert "first use" in record["checksum"]
    assert not parts(path) and not get_file(server.url, path)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert not get_file(server.url, path) and len(server.asked) == 1


def test_a_broken_connection_is_resumed_by_itself(path, server):
    server.break_after = 120_000
    assert get_file(server.url, path)
    assert path.read_bytes() == CONTENT
    assert server.asked == [None, "bytes=120000-", "bytes=240000-"]


def test_an_interrupted_command_goes_on_where_it_stopped(path, server, monkeypatch):
    broken_off(server, path, monkeypatch)
    (part,) = parts(path)
    assert not path.exists() and part.read_bytes() == CONTENT[:120_000]
    assert get_file(server.url, path) and path.read_bytes() == CONTENT
    assert server.asked == [None, "bytes=120000-"] and not parts(path)


def test_of_a_part_that_is_complete_the_file_comes_again(path, server, monkeypatch):
    broken_off(server, path, monkeypatch)
    parts(path)[0].write_bytes(CONTENT)
    assert get_file(server.url, path) and path.read_bytes() == CONTENT
    assert server.asked == [None, "bytes=300000-", None]


def test_a_part_of_another_version_is_refused_and_removed(path, server, monkeypatch):
    broken_off(server, path, monkeypatch)
    server.content = CONTENT[::-1]
    digest = hashlib.sha256(server.content).hexdigest()
    with pytest.raises(VmcError, match=f"sent a file with the SHA-256 .*, but {digest} is published: it was removed"):
        get_file(server.url, path, sha256=digest)
    assert not parts(path) and get_file(server.url, path, sha256=digest) and path.read_bytes() == server.content


def test_of_a_server_without_ranges_the_file_comes_whole_or_not_at_all(path, server, monkeypatch):
    broken_off(server, path, monkeypatch)
    server.ranges = False
    try:
        get_file(server.url, path)
    except VmcError as error:  # older libraries put what is sent again behind what was there
        assert "goes on from there" in str(error) and not path.exists()
        get_file(server.url, path)
    assert path.read_bytes() == CONTENT


def test_a_wrong_checksum_leaves_nothing(server, path):
    with pytest.raises(VmcError, match=f"SHA-256 {DIGEST}, but {'0' * 64} is published"):
        get_file(server.url, path, sha256="0" * 64)
    assert not path.exists() and not parts(path) and not download.record_of(path)


def test_a_publisher_who_changed_the_file_is_noticed(path, server):
    get_file(server.url, path)
    path.unlink()
    server.content, server.tag = CONTENT[::-1], '"two"'
    with pytest.raises(VmcError, match=r"is recorded in network\.bin\.json.*remove .*network\.bin\.json if"):
        get_file(server.url, path)
    assert not path.exists() and download.record_of(path)["sha256"] == DIGEST


def test_a_local_file_that_changed_is_refused_and_left(path, server):
    get_file(server.url, path)
    path.write_bytes(b"mine")
    with pytest.raises(VmcError, match="move it away and get it again"):
        get_file(server.url, path)
    assert path.read_bytes() == b"mine"


def test_a_file_put_there_by_hand_is_looked_into_and_recorded(server, path):
    looked = []
    path.parent.mkdir()
    path.write_bytes(b"copied")
    assert not get_file(server.url, path, inspect=looked.append)
    assert looked == [path] and download.record_of(path)["sha256"] == hashlib.sha256(b"copied").hexdigest()
    assert not server.asked


def test_what_is_no_network_never_gets_the_name(server, path):
    server.content = b"<html>Sign in to the wireless network</html>"
    with pytest.raises(VmcError, match=r"is not what is wanted, and was removed: .*does not load"):
        get_file(server.url, path, inspect=lambda file: check(file, kind="trn"))
    assert not path.exists() and not parts(path)


@pytest.mark.parametrize(("status", "words"), [(404, "answers 404 Not Found: it may have moved"), (503, "answers 503")])
def test_a_refusal_is_said(path, server, status, words):
    server.status = status
    with pytest.raises(VmcError, match=words):
        get_file(server.url, path)
    assert not path.exists() and not parts(path)


def test_no_network_and_offline_are_said(path, server, monkeypatch):
    with pytest.raises(VmcError, match=r"127\.0\.0\.1:9/network\.bin cannot be reached .*put it at"):
        get_file("http://127.0.0.1:9/network.bin", path)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(VmcError, match="HF_HUB_OFFLINE is set"):
        get_file(server.url, path)
    assert not path.exists() and not server.asked


def test_a_full_disk_keeps_what_came_and_names_the_remedy(path, server, monkeypatch):
    def full(url, stream, **more):
        stream.write(CONTENT[:1000])
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("huggingface_hub.file_download.http_get", full)
        with pytest.raises(VmcError, match=r"network\.bin cannot be written \(No space left on device\); free some"):
            get_file(server.url, path)
    assert not path.exists() and parts(path)[0].stat().st_size == 1000
    assert get_file(server.url, path) and path.read_bytes() == CONTENT and server.asked == ["bytes=1000-"]


def test_two_commands_do_not_write_to_one_file(path, server):
    path.parent.mkdir()
    with (
        FileLock(path.with_name(".network.bin.lock")),
        pytest.raises(VmcError, match="being downloaded by another process"),
    ):
        get_file(server.url, path)


# --- the command ---


@pytest.fixture
def trn_file(tmp_path):
    torch.manual_seed(0)
    save_trn(TRN(arch="BNInception", classes=27), tmp_path / "trn.pth.tar", arch="BNInception", epoch=1, accuracy=3.0)
    return tmp_path / "trn.pth.tar"


def test_get_prints_the_license_first_and_leaves_what_the_config_names(server, trn_file, tmp_path, monkeypatch, capsys):
    server.content = trn_file.read_bytes()
    url = server.url.replace("network.bin", SOURCES["trn"].name)
    source = FileSource(title="TRN", license="unknown", size=0.05, url=url, kind="trn")
    monkeypatch.setitem(weights.SOURCES, "trn", source)
    monkeypatch.setenv("VMC_WEIGHTS", str(tmp_path / "own"))
    assert weights.main(["get", "trn"]) == 0
    said = capsys.readouterr().out
    assert said.index("licence: unknown") < said.index("is downloaded; SHA-256")
    assert (tmp_path / "own" / SOURCES["trn"].name).is_file()
    assert weights.main(["get", "trn"]) == 0 and "is there" in capsys.readouterr().out
    assert "VMC_WEIGHTS" not in said
    assert weights.main(["get", "trn", "--folder", str(tmp_path / "other place")]) == 0
    assert f"unless VMC_WEIGHTS='{tmp_path / 'other place'}' is set" in capsys.readouterr().out


def test_the_names_are_those_that_the_configs_look_for():
    from vmc.config.folders import config_folder

    paper = (config_folder() / "metrics" / "paper.yaml").read_text()
    for name in ("sscd", "clip", "trn"):
        assert re.search(rf"path: \$\{{oc\.env:VMC_WEIGHTS,weights\}}/{re.escape(SOURCES[name].name)}( +#.*)?\n", paper)
        assert f"python -m vmc.weights get {name}" in paper
    for name in ("zeroscope", "modelscope", "animatediff"):
        model = (config_folder() / "model" / f"{name}.yaml").read_text()
        assert f"path: {SOURCES[name].repository} " in model and f"get: python -m vmc.weights get {name}\n" in model
        assert all(f": {beside} " in model for beside in SOURCES[name].beside)
    assert all(source.license for source in SOURCES.values())


def test_every_kind_is_named_by_the_help_and_others_are_refused(capsys):
    with pytest.raises(SystemExit):
        weights.main(["check", "--help"])
    said = "".join(capsys.readouterr().out.split())
    assert all(kind in said for kind in KINDS)
    status, said = told(capsys, str(shipped("appearance")), "--as", "vae")
    assert (status, said) == (2, f"--as is vae; it must be one of {', '.join(KINDS)}\n")


def test_a_hub_model_that_is_not_there_offline_is_one_sentence(capsys, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert weights.main(["get", "zeroscope"]) == 2
    told = capsys.readouterr()
    assert "CC BY-NC 4.0" in told.out
    assert told.err.count("\n") == 1 and "HF_HUB_OFFLINE is set" in told.err and "model.path" in told.err


@pytest.fixture
def published(monkeypatch) -> list[str]:
    """The names of the files that the hub has; it cannot be reached while there are none."""
    names: list[str] = []

    def model_info(self, repository):
        if not names:
            raise ConnectionError("no network")
        return SimpleNamespace(siblings=[SimpleNamespace(rfilename=name) for name in names])

    monkeypatch.setattr("huggingface_hub.HfApi.model_info", model_info)
    return names


def test_a_cache_of_configs_alone_is_not_complete(published, blank, tmp_path, monkeypatch, capsys):
    folder = Path(shutil.copytree(blank, tmp_path / "abc"))
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda *words, **more: str(folder))
    assert download.cached_folder("a/b", "unet3d")
    for part in ("vae", "text_encoder"):
        for file in (folder / part).glob("*.safetensors"):
            file.unlink()
        file.symlink_to(tmp_path / "gone")  # as the cache has it whose blob was removed
    assert not download.cached_folder("a/b", "unet3d")
    assert weights.main(["get", "zeroscope"]) == 2
    said = capsys.readouterr().err
    assert "is not whole in the hub's cache" in said and "has no weights in vae, text_encoder): " in said
    assert said.count("\n") == 1


def test_of_two_formats_one_is_fetched(published, blank, monkeypatch):
    kept = ["unet/config.json", "unet/diffusion_pytorch_model.safetensors", "vae/diffusion_pytorch_model.bin"]
    kept += ["text_encoder/model-00001-of-00002.safetensors", "tokenizer/vocab.json", "model_index.json"]
    left = ["unet/diffusion_pytorch_model.bin", "unet/diffusion_pytorch_model.fp16.safetensors", "README.md"]
    left += ["text_encoder/pytorch_model.bin", "vae/diffusion_pytorch_model.fp16.safetensors"]
    published += [*kept, *left]
    fetched = []

    def fetch(repository, *, allow_patterns, ignore_patterns, local_files_only):
        patterns = {"allow_patterns": allow_patterns, "ignore_patterns": ignore_patterns}
        fetched.extend(filter_repo_objects(published, **patterns))
        assert not local_files_only
        return str(blank)

    monkeypatch.setattr("huggingface_hub.snapshot_download", fetch)
    assert download.get_repository("a/b", "unet3d") == blank
    assert sorted(fetched) == sorted(kept)


def test_a_motion_adapter_is_fetched_with_its_pipeline(published, tmp_path, monkeypatch, capsys):
    write_blank(tmp_path / "pipeline", family="animatediff")
    adapter = Path(shutil.move(tmp_path / "pipeline" / "motion_adapter", tmp_path / "adapter"))
    published += ["config.json", "diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.bin", "a.fp16.bin"]
    fetched = []

    def fetch(repository, **patterns):
        patterns.pop("local_files_only")
        if repository.startswith("stable-diffusion"):
            return str(tmp_path / "pipeline")
        fetched.extend(filter_repo_objects(published, **patterns))
        return str(adapter)

    monkeypatch.setattr("huggingface_hub.snapshot_download", fetch)
    assert weights.main(["get", "animatediff"]) == 0
    said = capsys.readouterr().out
    assert "CreativeML Open RAIL-M" in said and f"\n{adapter}\n" in said
    assert fetched == ["config.json", "diffusion_pytorch_model.safetensors"]
    model = AnimateDiff(path="stable-diffusion-v1-5/stable-diffusion-v1-5", motion_adapter="guoyww/adapter", frames=8)
    assert model.place("motion_adapter") == adapter and model.denoiser().config.motion_max_seq_length == 16
    (adapter / "diffusion_pytorch_model.safetensors").unlink()
    assert weights.main(["get", "animatediff"]) == 2
    assert f"({adapter} has no weights): " in capsys.readouterr().err


def test_a_folder_for_what_goes_to_the_hubs_cache_is_refused(capsys):
    assert weights.main(["get", "zeroscope", "--folder", "own"]) == 2
    said = capsys.readouterr()
    assert not said.out and said.err.count("\n") == 1
    assert "--folder is own, but zeroscope goes to the hub's own cache" in said.err and "HF_HOME" in said.err


def test_a_cached_hub_model_is_found_and_its_contents_compared(published, blank, tmp_path, monkeypatch, capsys):
    blob = blank / "vae" / "diffusion_pytorch_model.safetensors"
    folder = tmp_path / "snapshots" / "abc"
    shutil.copytree(blank, folder)
    stored = tmp_path / "blobs" / hashlib.sha256(blob.read_bytes()).hexdigest()
    stored.parent.mkdir()
    shutil.move(folder / "vae" / blob.name, stored)
    (folder / "vae" / blob.name).symlink_to(stored)
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda *words, **more: str(folder))
    assert weights.main(["get", "modelscope"]) == 0
    assert "1 large files have the SHA-256" in capsys.readouterr().out
    stored.write_bytes(b"damaged")
    assert weights.main(["get", "modelscope"]) == 2
    assert "is damaged" in capsys.readouterr().err


# --- check ---


def told(capsys, *words: str) -> tuple[int, str]:
    status = weights.main(["check", *words])
    both = capsys.readouterr()
    return status, both.out + both.err


def test_check_knows_the_shipped_networks(capsys):
    for name, words in (
        ("classifier.pth.tar", "TRN gesture classifier of 27 classes"),
        ("appearance", "CLIP model"),
        ("copying.torchscript.pt", "SSCD copy descriptor of width 128"),
    ):
        status, said = told(capsys, str(shipped(name)))
        assert status == 0 and words in said


def test_check_of_a_trn_names_the_tensor(trn_file, capsys):
    assert told(capsys, str(trn_file))[0] == 0
    content = torch.load(trn_file, weights_only=True)
    content["state_dict"]["module.new_fc.weight"] = torch.zeros(256, 3)
    torch.save(content, trn_file)
    status, said = told(capsys, str(trn_file))
    assert status == 2 and "new_fc.weight of shape (256, 3), but (256, 1024) is needed" in said
    trn_file.write_bytes(trn_file.read_bytes()[:9000])
    status, said = told(capsys, str(trn_file))
    assert status == 2 and "does not load" in said and said.count("\n") == 1


def test_check_of_tsm_and_sscd_and_foreign_files(tmp_path, capsys):
    torch.manual_seed(0)
    state = OnlineTSM(classes=27).state_dict()
    torch.save(state, tmp_path / "mobilenetv2_jester_online.pth.tar")
    assert told(capsys, str(tmp_path / "mobilenetv2_jester_online.pth.tar"))[0] == 0
    torch.save({**state, "classifier.weight": torch.zeros(5, 1280)}, tmp_path / "five.pth.tar")
    status, said = told(capsys, str(tmp_path / "five.pth.tar"))
    assert status == 2 and "classifier.weight" in said and "(5, 1280), but (27, 1280) is needed" in said

    network = SSCDNetwork(bottleneck=False, layers=[1, 1, 1, 1], width=16, stem=8)
    torch.save(network.state_dict(), tmp_path / "own.torchvision.pt")
    assert "descriptor of width 16" in told(capsys, str(tmp_path / "own.torchvision.pt"))[1]
    old = {name: part for name, part in network.state_dict().items() if not name.endswith("num_batches_tracked")}
    torch.save(old, tmp_path / "old.torchvision.pt")
    assert told(capsys, str(tmp_path / "old.torchvision.pt"))[0] == 0
    damaged = {**network.state_dict(), "backbone.layer2.0.conv1.weight": torch.zeros(16, 3, 3, 3)}
    torch.save(damaged, tmp_path / "own.torchvision.pt")
    status, said = told(capsys, str(tmp_path / "own.torchvision.pt"))
    assert status == 2 and "backbone.layer2.0.conv1.weight" in said
    not_finite = {**network.state_dict(), "backbone.fc.bias": torch.full((16,), torch.nan)}
    torch.save(not_finite, tmp_path / "own.torchvision.pt")
    assert "backbone.fc.bias with values that are not finite" in told(capsys, str(tmp_path / "own.torchvision.pt"))[1]

    torch.save({"something": torch.zeros(2)}, tmp_path / "notes.pt")
    assert "none of the kinds that are known" in told(capsys, str(tmp_path / "notes.pt"))[1]
    status, said = told(capsys, str(tmp_path / "notes.pt"), "--as", "sscd")
    assert status == 2 and "holds no backbone.fc.weight" in said
    assert "does not exist" in told(capsys, str(tmp_path / "absent.pt"))[1]


class Malicious:
    def __reduce__(self):
        return (print, ("this must never be printed",))


def test_a_file_that_would_run_code_is_refused(tmp_path, capsys):
    torch.save({"state_dict": {}, "extra": Malicious()}, tmp_path / "trn.pth.tar")
    status, said = told(capsys, str(tmp_path / "trn.pth.tar"))
    assert status == 2 and "does not load" in said and "never be printed" not in said


def test_check_of_a_clip_model_names_the_tensor(tmp_path, capsys):
    folder = tmp_path / "clip"
    shutil.copytree(shipped("appearance"), folder)
    (file,) = folder.glob("*.safetensors")
    assert recognize(file) == "clip"
    status, said = told(capsys, str(file), "--architecture", "ViT-B-33")
    assert status == 2 and "no architecture 'ViT-B-33'" in said
    state = load_file(file)
    name = next(name for name in state if name.startswith("visual."))
    save_file({**state, name: torch.zeros(2, 3)}, file)
    status, said = told(capsys, str(folder))
    assert status == 2 and name in said and "2, 3" in said and said.count("\n") == 1


def test_check_of_a_pipeline_folder(blank, tmp_path, capsys):
    status, said = told(capsys, str(blank))
    assert status == 0 and "text-to-video pipeline" in said and "unet 2" in said.replace(",", "")
    folder = tmp_path / "model"
    shutil.copytree(blank, folder)
    file = folder / "unet" / "diffusion_pytorch_model.safetensors"
    whole = load_file(file)

    def refused(state, *words):
        save_file(state, file)
        status, said = told(capsys, str(folder))
        assert status == 2 and all(word in said for word in words), said

    refused({name: part for name, part in whole.items() if name != "conv_in.weight"}, "conv_in.weight")
    refused({**whole, "conv_in.weight": torch.zeros(3, 4, 3, 3)}, "conv_in.weight", "3, 4, 3, 3")
    refused(
        {**whole, "extra": torch.zeros(3)}, f"{file} ", "holds extra of shape (3,), which is unknown", "weights get"
    )
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    status, said = told(capsys, str(folder))
    assert status == 2 and "unet" in said and said.count("\n") == 1
    save_file(whole, file)
    encoder = folder / "text_encoder" / "model.safetensors"
    encoder.write_bytes(encoder.read_bytes()[: encoder.stat().st_size // 2])
    status, said = told(capsys, str(folder))
    assert status == 2 and said.count("\n") == 1
    shutil.rmtree(folder / "vae")
    status, said = told(capsys, str(folder))
    assert status == 2 and "vae/config.json" in said


def test_check_of_a_pipeline_in_half_precision_pickles(blank, tmp_path, capsys):
    """As ZeroScope is published: `.bin` alone; one that would run code is refused."""
    folder = tmp_path / "model"
    shutil.copytree(blank, folder)
    for part, name in (
        ("unet", "diffusion_pytorch_model"),
        ("vae", "diffusion_pytorch_model"),
        ("text_encoder", "model"),
    ):
        file = folder / part / f"{name}.safetensors"
        state = {key: value.half() if value.is_floating_point() else value for key, value in load_file(file).items()}
        file.unlink()
        torch.save(state, file.with_name("pytorch_model.bin" if part == "text_encoder" else f"{name}.bin"))
    status, said = told(capsys, str(folder))
    assert status == 0, said
    for part, name in (("unet", "diffusion_pytorch_model.bin"), ("text_encoder", "pytorch_model.bin")):
        whole = (folder / part / name).read_bytes()
        torch.save({"extra": Malicious()}, folder / part / name)
        status, said = told(capsys, str(folder))
        assert status == 2 and part in said and said.count("\n") == 1 and "never be printed" not in said
        (folder / part / name).write_bytes(whole)


def test_check_of_a_delta(tmp_path, capsys):
    file = tmp_path / "000500.safetensors"
    about = {"base": "somewhere", "base_fingerprint": "x", "groups": ["spatial_kv"], "step": 500}
    Delta(tensors={"unet.a.weight": torch.zeros(3, 2)}, about=about).save(file)
    status, said = told(capsys, str(file))
    assert status == 0 and "vmc delta of step 500 (spatial_kv: 1 tensors, 6 parameters), trained on somewhere" in said
    Delta(tensors={"elsewhere.weight": torch.zeros(3, 2)}, about=about).save(file)
    assert "holds elsewhere.weight" in told(capsys, str(file), "--as", "delta")[1]
    file.write_bytes(file.read_bytes()[:40])
    status, said = told(capsys, str(file))
    assert status == 2 and f"{file} does not load" in said and said.count("\n") == 1
    status, said = told(capsys, str(file), "--as", "delta")
    assert status == 2 and "damaged" in said and said.count("\n") == 1
