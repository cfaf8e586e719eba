"""Downloads from a server on this machine, and checks of files in the published formats with random weights."""

import errno
import hashlib
import json
import shutil
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from huggingface_hub.utils import filter_repo_objects
from safetensors.torch import load_file, save_file

from vmc import weights
from vmc.metrics.networks.sscd import SSCDNetwork
from vmc.metrics.networks.trn import TRN, save_trn
from vmc.metrics.networks.tsm import OnlineTSM
from vmc.mini.makers.blank import write_blank
from vmc.mini.shipped import shipped
from vmc.models.animatediff import AnimateDiff
from vmc.tools.downloads import hub, kinds, sources, transfer
from vmc.tools.downloads import part as parts
from vmc.tools.downloads.kinds import check, recognise
from vmc.tools.downloads.sources import SOURCES, FileSource
from vmc.tools.downloads.transfer import Transfer
from vmc.training.delta import Delta
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
                outer.answer(self)

            def log_message(self, *words):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self.thread.start()

    def answer(self, request) -> None:
        wanted = request.headers.get("Range")
        self.asked.append(wanted)
        if self.status != 200:
            request.send_error(self.status)
            return
        start = 0
        if wanted and self.ranges and request.headers.get("If-Range") == self.tag:
            start = int(wanted.removeprefix("bytes=").rstrip("-"))
            if start >= len(self.content):
                request.send_response(416)
                request.send_header("Content-Range", f"bytes */{len(self.content)}")
                request.send_header("Content-Length", "0")
                request.end_headers()
                return
            request.send_response(206)
            request.send_header("Content-Range", f"bytes {start}-{len(self.content) - 1}/{len(self.content)}")
        else:
            request.send_response(200)
        body = self.content[start:]
        request.send_header("Content-Length", str(len(body)))
        if self.ranges:
            request.send_header("ETag", self.tag)
        request.end_headers()
        request.wfile.write(body[: self.break_after])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.http.server_port}/models/network.bin"


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    served = Server()
    yield served
    served.http.shutdown()
    served.http.server_close()
    served.thread.join()


@pytest.fixture
def wanted(server, tmp_path):
    return Transfer(url=server.url, path=tmp_path / "weights" / "network.bin", pause=0.0)


def test_a_file_is_downloaded_once_and_recorded(wanted, server):
    assert wanted.get()
    assert wanted.path.read_bytes() == CONTENT
    record = json.loads(wanted.record.read_text())
    assert record["sha256"] == DIGEST and record["url"] == server.url and record["bytes"] == len(CONTENT)
    assert "first use" in record["checksum"]
    assert not wanted.part.file.exists() and not wanted.part.state.exists()
    assert not wanted.get() and not wanted.get(offline=True) and len(server.asked) == 1


def test_a_broken_connection_is_resumed_by_itself(wanted, server):
    server.break_after = 120_000
    assert wanted.get()
    assert wanted.path.read_bytes() == CONTENT
    assert server.asked == [None, "bytes=120000-", "bytes=240000-"]


def test_an_interrupted_command_goes_on_where_it_stopped(wanted, server, monkeypatch):
    written = []

    def interrupted(stream, chunk):
        if sum(written) > 50_000:
            raise KeyboardInterrupt
        written.append(len(chunk[:40_000]))
        stream.write(chunk[:40_000])

    with monkeypatch.context() as patch:
        patch.setattr(parts, "CHUNK", 40_000)
        patch.setattr(parts, "write", interrupted)
        with pytest.raises(KeyboardInterrupt):
            wanted.get()
    assert not wanted.path.exists() and wanted.part.file.read_bytes() == CONTENT[: sum(written)]
    assert wanted.get() and wanted.path.read_bytes() == CONTENT
    assert server.asked[-1] == f"bytes={sum(written)}-"


def test_a_part_that_is_complete_is_not_downloaded_again(wanted, server):
    wanted.path.parent.mkdir()
    wanted.part.file.write_bytes(CONTENT)
    wanted.part.state.write_text(json.dumps({"url": server.url, "version": server.tag, "bytes": len(CONTENT)}))
    assert wanted.get() and wanted.path.read_bytes() == CONTENT


@pytest.mark.parametrize("change", ["content", "length", "url", "unknown"])
def test_a_part_of_another_file_is_thrown_away(wanted, server, change):
    wanted.path.parent.mkdir()
    wanted.part.file.write_bytes(b"old" * (200_000 if change == "length" else 1000))
    said = {"url": server.url, "version": server.tag, "bytes": len(CONTENT)}
    said |= {"content": {"version": '"older"'}, "url": {"url": "http://elsewhere"}}.get(change, {})
    if change != "unknown":
        wanted.part.state.write_text(json.dumps(said))
    assert wanted.get() and wanted.path.read_bytes() == CONTENT


def test_a_server_without_ranges_begins_anew_and_gives_up_after_a_while(wanted, server):
    server.ranges, server.break_after = False, 100_000
    with pytest.raises(VmcError, match=r"broke off at 0\.1 MB.*goes on from there"):
        wanted.get()
    assert set(server.asked) == {None} and len(server.asked) <= 1 + parts.ATTEMPTS
    assert not wanted.path.exists()
    server.break_after = None
    assert wanted.get() and wanted.path.read_bytes() == CONTENT


def test_a_wrong_checksum_leaves_nothing(server, tmp_path):
    wanted = Transfer(url=server.url, path=tmp_path / "network.bin", sha256="0" * 64)
    with pytest.raises(VmcError, match=f"SHA-256 {DIGEST}, but {'0' * 64} is published"):
        wanted.get()
    assert {path.name for path in tmp_path.iterdir()} == {".network.bin.lock"}


def test_a_publisher_who_changed_the_file_is_noticed(wanted, server):
    wanted.get()
    wanted.path.unlink()
    server.content = CONTENT[::-1]
    with pytest.raises(VmcError, match=r"is recorded in network\.bin\.json.*remove .*network\.bin\.json if"):
        wanted.get()
    assert not wanted.path.exists() and wanted.record.is_file()


def test_a_local_file_that_changed_is_refused_and_left(wanted, server):
    wanted.get()
    wanted.path.write_bytes(b"mine")
    with pytest.raises(VmcError, match="move it away and get it again"):
        wanted.get()
    assert wanted.path.read_bytes() == b"mine"


def test_a_file_put_there_by_hand_is_looked_into_and_recorded(server, tmp_path):
    looked = []
    wanted = Transfer(url=server.url, path=tmp_path / "network.bin", inspect=looked.append)
    wanted.path.write_bytes(b"copied")
    assert not wanted.get(offline=True)
    assert looked == [wanted.path] and wanted.expected() == hashlib.sha256(b"copied").hexdigest()
    assert not server.asked


def test_what_is_no_network_never_gets_the_name(server, tmp_path):
    server.content = b"<html>Sign in to the wireless network</html>"
    wanted = Transfer(url=server.url, path=tmp_path / "n.bin", inspect=lambda file: check(file, kind="trn"))
    with pytest.raises(VmcError, match=r"is not what is wanted, and was removed: .*does not load"):
        wanted.get()
    assert {path.name for path in tmp_path.iterdir()} == {".n.bin.lock"}


@pytest.mark.parametrize(("status", "words"), [(404, "answers 404 Not Found: it may have moved"), (503, "answers 503")])
def test_a_refusal_is_said(wanted, server, status, words):
    server.status = status
    with pytest.raises(VmcError, match=words):
        wanted.get()
    assert not wanted.path.exists() and not wanted.part.file.exists()
    assert len(server.asked) == (1 if status == 404 else parts.ATTEMPTS)


def test_no_network_and_offline_are_said(wanted, tmp_path, monkeypatch):
    gone = Transfer(url="http://127.0.0.1:9/network.bin", path=wanted.path, pause=0.0)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with pytest.raises(VmcError, match=r"127\.0\.0\.1 cannot be reached .*copy the file"):
        gone.get()
    with pytest.raises(VmcError, match="HF_HUB_OFFLINE is set"):
        wanted.get(offline=True)
    assert not wanted.path.exists()


def test_a_full_disk_keeps_what_came_and_names_the_remedy(wanted, server, monkeypatch):
    def full(stream, chunk):
        stream.write(chunk[:1000])
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(parts, "write", full)
        with pytest.raises(VmcError, match=r"no room for .*network\.bin \(No space left on device\): free some"):
            wanted.get()
    assert not wanted.path.exists() and wanted.part.file.stat().st_size == 1000
    assert wanted.get() and wanted.path.read_bytes() == CONTENT and server.asked[-1] == "bytes=1000-"


def test_too_little_room_is_said_before_anything_is_written(wanted, monkeypatch):
    free = shutil.disk_usage(wanted.path.parents[1])._replace(free=1000)
    monkeypatch.setattr(parts.shutil, "disk_usage", lambda path: free)
    with pytest.raises(VmcError, match=r"0\.3 MB are still to come, 0\.0 MB are free"):
        wanted.get()
    assert not wanted.path.exists() and not wanted.part.file.exists()


def test_two_commands_do_not_write_to_one_file(wanted):
    with (
        transfer._alone(wanted.path),
        pytest.raises(VmcError, match="being downloaded by another process"),
        transfer._alone(wanted.path),
    ):
        pass


# --- the command ---


@pytest.fixture
def trn_file(tmp_path):
    torch.manual_seed(0)
    save_trn(TRN(arch="BNInception", classes=27), tmp_path / "trn.pth.tar", arch="BNInception", epoch=1, accuracy=3.0)
    return tmp_path / "trn.pth.tar"


def test_get_prints_the_licence_first_and_leaves_what_the_config_names(server, trn_file, tmp_path, monkeypatch, capsys):
    server.content = trn_file.read_bytes()
    url = server.url.replace("network.bin", SOURCES["trn"].name)
    source = FileSource(title="TRN", licence="unknown", size=0.05, url=url, kind="trn")
    monkeypatch.setitem(weights.SOURCES, "trn", source)
    monkeypatch.setattr(hub, "hub_is_offline", lambda: False)
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
        assert f"${{oc.env:VMC_WEIGHTS,weights}}/{SOURCES[name].name}\n" in paper.replace("   # null with a tag", "")
        assert f"python -m vmc.weights get {name}" in paper
    for name in ("zeroscope", "modelscope", "animatediff"):
        model = (config_folder() / "model" / f"{name}.yaml").read_text()
        assert f"path: {SOURCES[name].repository} " in model and f"get: python -m vmc.weights get {name}\n" in model
        assert all(f": {beside} " in model for beside in SOURCES[name].beside)
    assert set(kinds.KINDS) == set(weights.KINDS)
    assert all(source.licence for source in sources.SOURCES.values())


def test_a_hub_model_that_is_not_there_offline_is_one_sentence(capsys, monkeypatch):
    from huggingface_hub import constants

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
    assert hub.is_cached("a/b", "unet3d")
    for part in ("vae", "text_encoder"):
        for file in (folder / part).glob("*.safetensors"):
            file.unlink()
        file.symlink_to(tmp_path / "gone")  # as the cache has it whose blob was removed
    assert not hub.is_cached("a/b", "unet3d")
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

    def download(repository, *, allow_patterns, ignore_patterns, local_files_only):
        patterns = {"allow_patterns": allow_patterns, "ignore_patterns": ignore_patterns}
        fetched.extend(filter_repo_objects(published, **patterns))
        assert not local_files_only
        return str(blank)

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    assert hub.get_pipeline("a/b", "unet3d") == blank
    assert sorted(fetched) == sorted(kept)


def test_a_motion_adapter_is_fetched_with_its_pipeline(published, tmp_path, monkeypatch, capsys):
    write_blank(tmp_path / "pipeline", family="animatediff")
    adapter = Path(shutil.move(tmp_path / "pipeline" / "motion_adapter", tmp_path / "adapter"))
    published += ["config.json", "diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.bin", "a.fp16.bin"]
    fetched = []

    def download(repository, **patterns):
        patterns.pop("local_files_only")
        if repository.startswith("stable-diffusion"):
            return str(tmp_path / "pipeline")
        fetched.extend(filter_repo_objects(published, **patterns))
        return str(adapter)

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
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
    assert recognise(file) == "clip"
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
    assert status == 2 and "damaged" in said
