"""`python -m vmc.mini`: its commands."""

from PIL import Image

from vmc.mini.__main__ import COMMANDS, main
from vmc.models.zeroscope import UNet3D


def test_help_names_every_command(capsys):
    try:
        main(["--help"])
    except SystemExit as end:
        assert end.code == 0
    said = capsys.readouterr().out
    assert all(name in said for name in COMMANDS)


def test_blank_writes_a_pipeline_once(tmp_path, capsys):
    assert main(["blank", "--output", str(tmp_path / "new")]) == 0
    model = UNet3D(path=tmp_path / "new")
    parameters = sum(parameter.numel() for parameter in model.denoiser().parameters())
    assert 1.5e6 < parameters < 2.5e6
    assert f"{parameters:,} parameters" in capsys.readouterr().out
    assert model.latent_shape(frames=8, size=64) == (4, 8, 8, 8)
    assert main(["blank", "--output", str(tmp_path / "new")]) == 2
    assert "exists already" in capsys.readouterr().err


def test_sheets_show_all_gestures_and_subjects(tmp_path):
    assert main(["sheets", "--output", str(tmp_path)]) == 0
    with Image.open(tmp_path / "gestures.png") as gestures, Image.open(tmp_path / "subjects.png") as subjects:
        assert gestures.size == (190 + 8 * 66, 27 * 66)
        assert subjects.size == (10 * 66, 10 * 66)
        assert len(subjects.getcolors(1 << 20)) > 1000
