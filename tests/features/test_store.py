"""The spectrogram store: what is made, what is left alone, what is refused."""

import csv
import dataclasses
import io
import json
import os
import struct
import subprocess
import sys
import time
import zlib

import numpy as np
import pytest
import soundfile
from filelock import FileLock
from PIL import Image

from earmark.audio.augment import AugmentationError
from earmark.config.sections import ConfigError, FrontEndConfig
from earmark.datasets.manifest import Clip
from earmark.features.log_mel import load_image
from earmark.features.png import encode_png, is_intact
from earmark.features.store import StoreError, generate, open_store, plan_store, resolve_front_end
from earmark.features.store_index import Entry, write_index
from earmark.training.batches import load_images

CONFIG = FrontEndConfig(sample_rate=16000, n_fft=512, hop_length=256, n_mels=40)


def write_clip(folder, name, seed=0, sample_rate=16000, n_samples=8000):
    path = folder / f"{name}.wav"
    waveform = np.random.default_rng(seed).normal(0, 0.1, n_samples)
    soundfile.write(path, waveform * np.linspace(0, 1, n_samples), sample_rate)
    return Clip(name, path, "a", "a")


@pytest.fixture
def clips(tmp_path):
    folder = tmp_path / "audio"
    folder.mkdir()
    return [write_clip(folder, f"c{i}", i, n_samples=6000 + 500 * i) for i in range(5)]


def make(clips, tmp_path, config=CONFIG, **options):
    return generate(clips, config, tmp_path / "store", jobs=1, **options)


def times(store):
    return {path.name: path.stat().st_mtime_ns for path in store.folder.glob("*.png")}


@pytest.mark.parametrize("shape", [(1, 1), (3, 1), (1, 7), (128, 431), (40, 24)])
def test_png_round_trip_is_exact(shape):
    generator = np.random.default_rng(0)
    for image in (generator.integers(0, 256, shape, dtype=np.uint8), np.zeros(shape, np.uint8)):
        with Image.open(io.BytesIO(encode_png(image))) as opened:
            opened.verify()
        with Image.open(io.BytesIO(encode_png(image))) as opened:
            assert opened.mode == "L"
            np.testing.assert_array_equal(np.asarray(opened), image)


def test_store_and_live_front_end_give_the_same_bytes(clips, tmp_path):
    store = make(clips, tmp_path)
    for clip in clips:
        expected = load_image(clip.path, CONFIG)
        np.testing.assert_array_equal(store.read(clip.clip_id), expected)
        assert store.n_frames(clip.clip_id) == expected.shape[1]
    assert store.n_mels == 40
    assert store.path("c1").name == "c1_orig.png"


def test_store_and_live_front_end_give_the_same_bytes_on_real_audio(real_data, tmp_path):
    paths = sorted((real_data / "ESC-10" / "audio").iterdir())[::50]
    clips = [Clip(path.stem, path, "a", "a") for path in paths]
    config = resolve_front_end(clips, FrontEndConfig())
    assert config.sample_rate == 44100
    store = make(clips, tmp_path, config)
    for clip in clips:
        np.testing.assert_array_equal(store.read(clip.clip_id), load_image(clip.path, config))


def test_the_bytes_do_not_depend_on_the_number_of_threads(tmp_path):
    folder = tmp_path / "audio"
    folder.mkdir()
    clips = [write_clip(folder, f"c{i}", i) for i in range(40)]
    names = ("orig", "noisy", "stretch0.9")
    one = generate(clips, CONFIG, tmp_path / "one", names, jobs=1)
    two = generate(clips, CONFIG, tmp_path / "two", names, jobs=2)
    for clip in clips:
        for name in names:
            assert one.path(clip.clip_id, name).read_bytes() == two.path(clip.clip_id, name).read_bytes()
    assert (one.folder / "index.csv").read_bytes() == (two.folder / "index.csv").read_bytes()
    assert one.fingerprint(["c0"], names) == two.fingerprint(["c0"], names)


def test_a_second_run_makes_nothing(clips, tmp_path):
    first = make(clips, tmp_path)
    before = times(first)
    second = make(clips, tmp_path)
    assert times(second) == before
    assert second.index == first.index == open_store(tmp_path / "store").index


def test_a_touched_file_is_read_but_its_image_is_kept(clips, tmp_path):
    before = times(make(clips, tmp_path))
    os.utime(clips[2].path, ns=(1, 1))
    store = make(clips, tmp_path)
    assert times(store) == before
    assert store.index["c2", "orig"].mtime_ns == 1


def test_changed_audio_is_made_again_and_changes_the_fingerprint(clips, tmp_path):
    store = make(clips, tmp_path)
    before, fingerprint = times(store), store.fingerprint([c.clip_id for c in clips])
    write_clip(clips[0].path.parent, "c3", seed=99)
    store = make(clips, tmp_path)
    changed = {name for name, stamp in times(store).items() if before[name] != stamp}
    assert changed == {"c3_orig.png"}
    assert store.fingerprint([c.clip_id for c in clips]) != fingerprint
    np.testing.assert_array_equal(store.read("c3"), load_image(clips[3].path, CONFIG))


@pytest.mark.skipif(os.name == "nt", reason="Windows notes no change that programs cannot set")
def test_changed_audio_of_the_same_size_and_modification_time_is_made_again(clips, tmp_path):
    """As `cp -p` and `rsync -t` leave it."""
    store = make(clips, tmp_path)
    before, path = store.read("c3"), clips[3].path
    status = path.stat()
    write_clip(path.parent, "c3", seed=99, n_samples=7500)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (status.st_size, status.st_mtime_ns)
    planned = plan_store(clips, CONFIG, tmp_path / "store", ("orig",), {})
    store = make(clips, tmp_path)
    assert not np.array_equal(store.read("c3"), before)
    ids = [clip.clip_id for clip in clips]
    assert planned.fingerprint(ids) == store.fingerprint(ids)


def test_a_store_without_the_second_time_is_read_and_its_images_are_kept(clips, tmp_path):
    store = make(clips, tmp_path)
    before, index = times(store), store.folder / "index.csv"
    lines = index.read_text(encoding="utf-8").splitlines()
    index.write_text("".join(line.rpartition(",")[0] + "\n" for line in lines), encoding="utf-8")
    assert open_store(store.folder).index["c0", "orig"].ctime_ns == 0
    assert times(make(clips, tmp_path)) == before
    assert open_store(store.folder).index == store.index


def test_a_deleted_image_is_made_again(clips, tmp_path):
    store = make(clips, tmp_path)
    store.path("c1").unlink()
    assert make(clips, tmp_path).read("c1").shape[0] == 40


def test_another_definition_of_an_augmentation_is_made_again(clips, tmp_path):
    def hiss(snr_db):
        return {"hiss": {"function": "add_noise", "snr_db": snr_db}}

    store = make(clips, tmp_path, augmentations=("orig", "hiss"), definitions=hiss(20))
    loud, fingerprint = store.read("c0", "hiss"), store.fingerprint(["c0"], ["hiss"])
    before = times(store)
    store = make(clips, tmp_path, augmentations=("orig", "hiss"), definitions=hiss(0))
    assert (store.read("c0", "hiss") != loud).any()
    assert store.fingerprint(["c0"], ["hiss"]) != fingerprint
    assert times(store)["c0_orig.png"] == before["c0_orig.png"]


def test_an_interruption_leaves_no_image_of_another_recipe(clips, tmp_path, monkeypatch):
    """Images were replaced ahead of their rows in the index, which then described images that were gone."""

    def hiss(snr_db):
        return {"hiss": {"function": "add_noise", "snr_db": snr_db}}

    def interrupted(results, *_):
        list(results)  # all images are written, none is recorded
        raise KeyboardInterrupt

    first = make(clips, tmp_path, augmentations=("orig", "hiss"), definitions=hiss(40))
    expected = {clip.clip_id: first.read(clip.clip_id, "hiss") for clip in clips}
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("earmark.features.store._record", interrupted)
        make(clips, tmp_path, augmentations=("orig", "hiss"), definitions=hiss(-20))
    again = make(clips, tmp_path, augmentations=("orig", "hiss"), definitions=hiss(40))
    for clip_id, image in expected.items():
        np.testing.assert_array_equal(again.read(clip_id, "hiss"), image)


def test_a_changed_impulse_response_makes_its_augmentation_again(clips, tmp_path):
    room = tmp_path / "room.wav"
    hall = {"hall": {"function": "add_reverb", "impulse_response": str(room)}}
    soundfile.write(room, np.array([0.9, 0.0, 0.1]), 16000)
    before = times(make(clips, tmp_path, augmentations=("orig", "hall"), definitions=hall))
    soundfile.write(room, np.array([0.9, 0.5, 0.1]), 16000)
    after = times(make(clips, tmp_path, augmentations=("orig", "hall"), definitions=hall))
    assert {name for name in after if after[name] != before[name]} == {f"c{i}_hall.png" for i in range(5)}


def test_a_store_of_another_front_end_is_refused(clips, tmp_path):
    make(clips, tmp_path)
    with pytest.raises(StoreError, match=r"n_mels = 40, not 64; give another folder"):
        make(clips, tmp_path, dataclasses.replace(CONFIG, n_mels=64))


def test_all_bad_files_are_listed_after_the_good_ones_are_made(clips, tmp_path):
    clips[1].path.write_text("no audio")
    clips[3].path.unlink()
    with pytest.raises(StoreError, match=r"2 of 5 recordings") as caught:
        make(clips, tmp_path)
    message = str(caught.value)
    assert "c1.wav" in message
    assert "c3.wav" in message
    assert sorted(times(open_store(tmp_path / "store"))) == ["c0_orig.png", "c2_orig.png", "c4_orig.png"]
    with pytest.raises(StoreError, match="2 of 5"):
        make(clips, tmp_path)


def test_an_index_cut_off_by_a_kill_costs_only_its_last_line(clips, tmp_path):
    store = make(clips, tmp_path)
    before = times(store)
    index = store.folder / "index.csv"
    index.write_bytes(index.read_bytes()[:-30])
    again = make(clips, tmp_path)
    assert again.index == store.index
    assert {name for name, stamp in times(again).items() if stamp != before[name]} == {"c4_orig.png"}


def test_a_killed_generation_leaves_whole_images_and_resumes(tmp_path):
    folder = tmp_path / "audio"
    folder.mkdir()
    clips = [write_clip(folder, f"c{i:03}", i, n_samples=4000) for i in range(300)]
    code = (
        "import sys; from pathlib import Path; from earmark.config.sections import FrontEndConfig;"
        "from earmark.datasets.manifest import Clip; from earmark.features.store import generate;"
        "files = sorted(Path(sys.argv[1]).iterdir());"
        "clips = [Clip(f.stem, f, 'a', 'a') for f in files];"
        "config = FrontEndConfig(sample_rate=16000, n_fft=512, hop_length=256, n_mels=40);"
        "generate(clips, config, sys.argv[2], ('orig', 'pitchUp2'), jobs=1)"
    )
    store = tmp_path / "store"
    with subprocess.Popen([sys.executable, "-c", code, str(folder), str(store)]) as process:
        while process.poll() is None and len(list(store.glob("*.png"))) < 30:
            time.sleep(0.01)
        process.kill()
    survivors = {path.name: path.stat().st_mtime_ns for path in store.glob("*.png")}
    assert 30 <= len(survivors) < 600, "killed in the middle"
    for name in survivors:
        with Image.open(store / name) as image:
            image.load()
    finished = generate(clips, CONFIG, store, ("orig", "pitchUp2"), jobs=1)
    kept = sum(times(finished)[name] == stamp for name, stamp in survivors.items())
    assert kept >= len(survivors) - 2, "at most the images of the clip under way are made again"
    whole = generate(clips[:20], CONFIG, tmp_path / "whole", ("orig", "pitchUp2"), jobs=1)
    for path in whole.folder.glob("*.png"):
        assert path.read_bytes() == (store / path.name).read_bytes()


def test_images_from_elsewhere(tmp_path):
    image = np.arange(60, dtype=np.uint8).reshape(6, 10)
    Image.fromarray(image).save(tmp_path / "x_orig.png")
    store = open_store(tmp_path)
    assert store.front_end is None
    assert (store.n_mels, store.n_frames("x")) == (6, 10)
    np.testing.assert_array_equal(store.read("x"), image)
    before = store.fingerprint(["x"])
    Image.fromarray(image + 1).save(tmp_path / "x_orig.png")
    assert store.fingerprint(["x"]) != before
    with pytest.raises(StoreError, match=r"y_orig\.png: does not exist"):
        store.fingerprint(["y"])
    with pytest.raises(StoreError, match="made elsewhere; give another folder"):
        generate([], CONFIG, tmp_path)


def test_images_of_different_height_are_refused(tmp_path):
    for name, bins in (("a", 6), ("b", 4)):
        Image.fromarray(np.zeros((bins, 10), dtype=np.uint8)).save(tmp_path / f"{name}_orig.png")
    store = open_store(tmp_path)
    assert store.n_frames("a") == 10
    for memory_gib in (1.0, 0.0):
        with pytest.raises(StoreError, match=r"b_orig\.png: is 4 bins high, others here 6; make all images"):
            load_images(store, [("a", "orig"), ("b", "orig")], memory_gib)


def test_the_spectrograms_of_esc50_can_be_read(real_data):
    store = open_store(real_data / "ESC-50-spectrograms" / "png")
    assert store.n_mels == 127
    assert store.read("1-100032-A-0").shape == (127, store.n_frames("1-100032-A-0"))


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"", "cannot be read"), (b"\x89PNG\r\n\x1a\nrubbish", "cannot be read"), (None, "does not")],
)
def test_a_bad_image_is_named(tmp_path, content, reason):
    if content is not None:
        (tmp_path / "x_orig.png").write_bytes(content)
    for read in (open_store(tmp_path).read, open_store(tmp_path).n_frames):
        with pytest.raises(StoreError, match=rf"x_orig\.png: {reason}.*earmark spectrograms"):
            read("x")


def test_a_cut_image_is_named(tmp_path):
    content = encode_png(np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8))
    (tmp_path / "x_orig.png").write_bytes(content[: len(content) // 2])
    with pytest.raises(StoreError, match=r"x_orig\.png: cannot be read"):
        open_store(tmp_path).read("x")


def test_a_color_image_is_refused(tmp_path):
    Image.new("RGB", (4, 4)).save(tmp_path / "x_orig.png")
    with pytest.raises(StoreError, match="RGB, not 8-bit gray"):
        open_store(tmp_path).read("x")


def test_no_store_no_images_no_valid_front_end(tmp_path):
    with pytest.raises(StoreError, match="no such folder"):
        open_store(tmp_path / "none")
    with pytest.raises(StoreError, match="has no images"):
        _ = open_store(tmp_path).n_mels
    (tmp_path / "front_end.json").write_text(json.dumps({"n_mells": 3}))
    with pytest.raises(StoreError, match=r"n_mels.*delete the folder"):
        open_store(tmp_path)


def test_the_rate_is_taken_from_the_files(clips, tmp_path):
    config = FrontEndConfig(n_fft=512, hop_length=256)
    assert resolve_front_end(clips, config) == dataclasses.replace(config, sample_rate=16000)
    assert resolve_front_end([], CONFIG) == CONFIG
    clips[0].path.write_text("no audio")
    assert resolve_front_end(clips, config).sample_rate == 16000
    with pytest.raises(StoreError, match=r"c0\.wav"):
        resolve_front_end(clips[:1], config)
    with pytest.raises(StoreError, match="no clips"):
        resolve_front_end([], config)
    other = write_clip(tmp_path, "other", sample_rate=8000)
    message = r"16000 Hz \(4 clips\), 8000 Hz \(1 clip\); .* 8000\); above the lowest, .* empty band"
    with pytest.raises(StoreError, match=message):
        resolve_front_end([*clips, other], config)
    with pytest.raises(ConfigError, match="f_max"):
        resolve_front_end(clips, FrontEndConfig(f_max=12000.0))


def test_an_unknown_augmentation_is_refused_before_anything_is_made(clips, tmp_path):
    with pytest.raises(AugmentationError, match="did you mean 'noisy'"):
        make(clips, tmp_path, augmentations=("orig", "noisi"))
    assert not (tmp_path / "store").exists()


def test_the_index_can_be_read_by_a_person(clips, tmp_path):
    store = make(clips, tmp_path, augmentations=("orig", "noisy"))
    with (store.folder / "index.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["clip_id"], row["augmentation"]) for row in rows[:2]] == [("c0", "noisy"), ("c0", "orig")]
    assert len(rows) == 10
    assert rows[0]["content"] == rows[1]["content"]
    assert rows[0]["recipe"] != rows[1]["recipe"]


def test_reading_needs_numpy_and_pillow_alone():
    code = (
        "import sys, earmark.features.store;"
        "print(*sorted({m.split('.')[0] for m in sys.modules} & {'scipy', 'soundfile', 'soxr', 'tqdm', 'torch'}))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.split() == []


def truncate(content):
    return content[: len(content) // 2]


def empty(content):
    return b""


def flip_a_byte(content):
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


def recolor(content):
    file = io.BytesIO()
    Image.open(io.BytesIO(content)).convert("RGB").save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize("damage", [truncate, empty, flip_a_byte, recolor])
def test_a_damaged_image_is_made_again(clips, tmp_path, damage):
    """Bug 2: the message said that `earmark spectrograms` makes it again, which it did not."""
    store = make(clips, tmp_path)
    before = store.path("c2").read_bytes()
    store.path("c2").write_bytes(damage(before))
    untouched = times(store)
    again = make(clips, tmp_path)
    assert again.path("c2").read_bytes() == before
    assert {name for name, stamp in times(again).items() if stamp != untouched[name]} == {"c2_orig.png"}
    assert again.index == store.index


def test_intact_images_from_any_writer_are_recognized(tmp_path):
    path, image = tmp_path / "x.png", np.random.default_rng(0).integers(0, 256, (40, 300), dtype=np.uint8)
    Image.fromarray(image).save(path)
    assert is_intact(path, 40)
    assert not is_intact(path, 41)
    path.write_bytes(encode_png(image))
    assert is_intact(path, 40)
    path.write_bytes(encode_png(image)[:-12])
    assert not is_intact(path, 40), "IEND is missing"
    assert not is_intact(tmp_path / "none.png", 40)


GENERATE = """
import sys
from pathlib import Path
from earmark.config.sections import FrontEndConfig
from earmark.datasets.manifest import Clip
from earmark.features.store import generate
files = sorted(Path(sys.argv[1]).iterdir())
clips = [Clip(f.stem, f, "a", "a") for f in files]
config = FrontEndConfig(sample_rate=16000, n_fft=512, hop_length=256, n_mels=40)
Path(sys.argv[2], sys.argv[3] + "-ready").touch()
while len(list(Path(sys.argv[2]).glob("*-ready"))) < 2:
    pass
generate(clips, config, sys.argv[2] + "/store", sys.argv[3].split(","), jobs=1)
"""


def test_two_processes_at_a_time_lose_no_row_of_the_index(tmp_path):
    """Bug 3: the second one replaced the index while the first one went on to append to the old one."""
    folder, meeting = tmp_path / "audio", tmp_path / "meeting"
    folder.mkdir()
    meeting.mkdir()
    clips = [write_clip(folder, f"c{i:02}", i, n_samples=16000) for i in range(60)]
    names = ("orig,noisy", "orig,pitchUp2")
    commands = [[sys.executable, "-c", GENERATE, str(folder), str(meeting), name] for name in names]
    processes = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for command in commands]
    errors = [process.communicate(timeout=120)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], errors
    store = open_store(meeting / "store")
    assert set(store.index) == {(clip.clip_id, name) for clip in clips for name in ("orig", "noisy", "pitchUp2")}
    assert sum("waiting for another process" in error for error in errors) <= 1
    before = times(store)
    generate(clips, CONFIG, store.folder, ("orig", "noisy", "pitchUp2"), jobs=1)
    assert times(store) == before


def test_a_locked_store_that_needs_nothing_is_read_without_waiting(clips, tmp_path):
    make(clips, tmp_path)
    with FileLock(tmp_path / "store" / ".lock"):
        assert make(clips, tmp_path).read("c0").shape[0] == 40


def test_an_index_of_format_version_1_is_read(tmp_path):
    lines = ["clip_id,waveform,recipe,content,size,mtime_ns", "a,orig,0123,4567,89,10", "a,noisy,89ab,4567,89,10"]
    (tmp_path / "index.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    expected = Entry("a", "noisy", "89ab", "4567", 89, 10)
    index = open_store(tmp_path).index
    assert index["a", "noisy"] == expected
    write_index(index, tmp_path / "index.csv")
    assert (tmp_path / "index.csv").read_text(encoding="utf-8").startswith("clip_id,augmentation,recipe")
    assert open_store(tmp_path).index == index


@pytest.mark.parametrize(("width", "height"), [(100_000, 1000), (2**31 - 1, 2**31 - 1)])
def test_an_image_that_claims_to_be_huge_is_refused_before_it_is_decoded(tmp_path, width, height):
    def chunk(name, content):
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    content = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(10**6))) + chunk(b"IEND", b"")
    (tmp_path / "a_orig.png").write_bytes(b"\x89PNG\r\n\x1a\n" + content)
    with pytest.raises(StoreError, match=r"a_orig\.png: cannot be read \(.*pixels"):
        open_store(tmp_path).read("a")
