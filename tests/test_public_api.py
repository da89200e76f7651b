"""The names a user imports: there, documented, light until used, and the same for readers, type checkers and Python."""

import ast
import importlib.metadata
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import videoperceiver


@pytest.mark.parametrize("name", [name for name in videoperceiver.__all__ if name != "__version__"])
def test_every_public_name_is_there_and_documented(name):
    value = getattr(videoperceiver, name)
    assert value.__module__.startswith("videoperceiver.")
    assert inspect.getdoc(value)


def test_names_for_type_checkers_are_the_same():
    tree = ast.parse(Path(videoperceiver.__file__).read_text())
    imported = [alias for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names if node.module.startswith("videoperceiver.")]
    assert sorted(alias.asname for alias in imported) == sorted(set(videoperceiver.__all__) - {"__version__"})


def test_unknown_names_are_attribute_errors():
    with pytest.raises(AttributeError, match="no attribute 'read_video'"):
        _ = videoperceiver.read_video
    assert dir(videoperceiver) == sorted(videoperceiver.__all__)


def test_importing_the_package_imports_nothing_heavy():
    code = "import sys, videoperceiver; print(sorted({'torch', 'transformers', 'numpy', 'av', 'scipy', 'omegaconf'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_the_installed_version_is_the_packages():
    assert importlib.metadata.version("videoperceiver") == videoperceiver.__version__


def test_the_package_is_typed():
    assert (Path(videoperceiver.__file__).parent / "py.typed").exists()
