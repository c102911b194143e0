"""Libraries that start processes, in a folder with modules named like those that they import.

That ``movierec up`` starts there is tested in ``tests/system/test_up_elsewhere.py``.
"""

import os
import subprocess
from pathlib import Path

from shared.datasets.generate import generate
from shared.processes.children import movierec_command
from tests.conftest import PROJECT


def test_evaluating_folds_in_parallel(tmp_path: Path) -> None:
    for name in ("joblib", "numpy", "shared", "worker"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit(f'imported: {__name__}')\n", encoding="utf-8")
    generate(tmp_path / "tiny", n_ratings=2_000, n_users=60, n_movies=150)
    ended = subprocess.run(
        movierec_command("evaluate", "--data", "tiny", "-a", "svd", "--folds", "2", "--jobs", "2"),
        check=False,
        capture_output=True,
        encoding="utf-8",
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
    )
    assert ended.returncode == 0, ended.stderr
