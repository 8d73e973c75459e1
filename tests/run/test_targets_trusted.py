"""A ``_target_`` of our own package is a part of its group: nothing that writes, and nothing we import."""

from __future__ import annotations

import pytest

from expunge.core.errors import InvalidValue
from expunge.run.declared import located
from expunge.run.targets import build


@pytest.mark.parametrize("group", ["dataset", "extractor", "unlearner", "tracker", "removal", "metrics.own"])
def test_a_configuration_of_somebody_else_writes_no_file(group, tmp_path):
    there = tmp_path / "written"
    block = {"_target_": "expunge.core.files.write_atomically", "path": there, "content": b"x"}
    with pytest.raises(InvalidValue, match=rf"^{group}\._target_: got 'expunge\.core"):
        build(group, block)
    assert not there.exists()


@pytest.mark.parametrize(
    "path", ["expunge.models.module_class.import_module", "expunge.models.base.bisect_left"]
)
def test_what_a_part_imports_is_no_part(path):
    with pytest.raises(InvalidValue, match=r"allowed: a part of expunge\.models or expunge_plugins"):
        located("model", path)
