"""config.py: what wins over what, and what a person reads when a recipe is wrong."""

import subprocess
import sys
from dataclasses import FrozenInstanceError, dataclass, field
from typing import Literal

import pytest

from videoperceiver.config import dump, load
from videoperceiver.errors import ConfigError


@dataclass(frozen=True)
class Inner:
    rank: int = 8
    alpha: float = 16.0


@dataclass(frozen=True)
class Stage:
    learning_rate: float = 1e-3
    steps: int = 10
    mode: Literal["hold", "literal"] = "hold"
    layers: tuple[int, ...] = (16,)
    name: str | None = None
    resume: bool = False
    lora: Inner = field(default_factory=Inner)
    maybe: Inner | None = None

    def __post_init__(self):
        if self.steps < 1:
            raise ConfigError(f"steps must be 1 or more, got {self.steps}")


@dataclass(frozen=True)
class Required:
    manifest: str = "???"


def recipe(tmp_path, text):
    path = tmp_path / "sft.yaml"
    path.write_text(text)
    return path


def test_defaults_then_recipe_then_override(tmp_path):
    path = recipe(tmp_path, "learning_rate: 5e-4\nsteps: 20\nlayers: [8, 16]\nlora:\n  rank: 4\n")
    config = load(Stage, path, ["steps=30", "lora.alpha=2", "name=null"])
    assert config == Stage(learning_rate=5e-4, steps=30, layers=(8, 16), lora=Inner(rank=4, alpha=2.0))
    assert isinstance(config.layers, tuple)
    assert isinstance(config.lora.alpha, float)
    with pytest.raises(FrozenInstanceError):
        config.steps = 3


def test_without_a_recipe_the_defaults_hold(tmp_path):
    assert load(Stage) == Stage()
    assert load(Stage, recipe(tmp_path, "# only a header\n")) == Stage()


def test_dump_loads_back_to_an_equal_config(tmp_path):
    config = load(Stage, None, ["layers=[1,2]", "name='3'", "maybe.rank=2", "mode=literal"])
    assert load(Stage, recipe(tmp_path, dump(config))) == config
    assert config.maybe == Inner(rank=2)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("learning_rat=1", r"override 'learning_rat=1': no field 'learning_rat' in Stage; did you mean 'learning_rate'\?"),
        ("lora.rnak=1", r"no field 'lora.rnak' in Inner; did you mean 'rank'\?"),
        ("zzz=1", "no field 'zzz' in Stage; its fields are layers, learning_rate, lora, maybe, mode"),
        ("learning_rate=fast", "field 'learning_rate' expects a number, got 'fast'"),
        ("steps=1.5", "field 'steps' expects a whole number, got 1.5"),
        ("steps=null", "field 'steps' expects a whole number, got None"),
        ("mode=held", "field 'mode' expects one of hold, literal, got 'held'"),
        ("layers=3", r"field 'layers' expects a list of whole number items, as \[\.\.\], got 3"),
        ("layers=[a]", r"field 'layers.*expects a list of whole number items, as \[\.\.\], got \['a'\]"),
        ("resume=perhaps", "field 'resume' expects true or false, got 'perhaps'"),
        ("lora=3", "field 'lora' expects the fields rank, alpha, got 3"),
        ("lora.rank=x", "field 'lora.rank' expects a whole number, got 'x'"),
        ("steps", "override 'steps': expected key=value"),
        ("=3", "override '=3': expected key=value"),
        ("layers=[1", "the value cannot be read as YAML"),
        ("steps=0", "Stage: steps must be 1 or more, got 0"),
        ("name=${nowhere}", "field 'name': Interpolation key 'nowhere' not found"),
    ],
)
def test_a_wrong_override_is_named_in_plain_words(override, message):
    with pytest.raises(ConfigError, match=message):
        load(Stage, None, [override])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("stepz: 3\n", r"recipe .*sft\.yaml: no field 'stepz' in Stage; did you mean 'steps'\?"),
        ("lora:\n  rank: many\n", r"sft\.yaml: field 'lora\.rank' expects a whole number, got 'many'"),
        ("- 1\n- 2\n", "got a list"),
        ("steps: [\n", "not a YAML file"),
        ("steps: 1\nsteps: 2\n", "not a YAML file.*duplicate key steps"),
        ("just words\n", "no field 'just words' in Stage"),
        ("steps: -4\n", r"sft\.yaml: steps must be 1 or more"),
    ],
)
def test_a_wrong_recipe_is_named_with_its_file(tmp_path, text, message):
    with pytest.raises(ConfigError, match=message):
        load(Stage, recipe(tmp_path, text))


def test_a_mistyped_path_says_what_lies_there(tmp_path):
    recipe(tmp_path, "")
    with pytest.raises(ConfigError, match=r"sfd\.yaml: no such file; .* holds sft\.yaml"):
        load(Stage, tmp_path / "sfd.yaml")
    with pytest.raises(ConfigError, match=r"cannot be read .*holds sft\.yaml"):
        load(Stage, tmp_path)


def test_a_missing_required_field_says_how_to_give_it():
    with pytest.raises(ConfigError, match=r"field 'manifest' is required \(text\); add it to the recipe or pass manifest=\.\.\."):
        load(Required)
    assert load(Required, None, ["manifest=a.parquet"]).manifest == "a.parquet"


def test_a_binary_file_is_no_recipe(tmp_path):
    path = tmp_path / "clip.yaml"
    path.write_bytes(bytes(range(256)))
    with pytest.raises(ConfigError, match="not a YAML file"):
        load(Stage, path)


def test_importing_configs_and_records_imports_nothing_heavy():
    light = "videoperceiver.config, videoperceiver.types, videoperceiver.errors, videoperceiver.answers, videoperceiver.stages"
    heavy = "{'torch', 'transformers', 'av', 'scipy'}"
    done = subprocess.run([sys.executable, "-c", f"import sys, {light}; print(sorted({heavy} & set(sys.modules)))"], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
