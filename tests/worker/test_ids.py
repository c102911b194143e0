import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.ids import IdIndex

_IDS = st.integers(-3, 40) | st.integers(2**31 - 3, 2**31 - 1)


@pytest.mark.parametrize("highest_listed", [0, 20, 2**21])
@given(ids=st.lists(_IDS, unique=True, max_size=20), wanted=st.lists(_IDS, max_size=20))
def test_places_are_found_with_a_table_and_without(
    ids: list[int], wanted: list[int], highest_listed: int
) -> None:
    index = IdIndex(np.array(ids, dtype=np.int32), highest_listed)
    found = index.find(np.array(wanted, dtype=np.int32))
    assert found.dtype == np.int32
    assert found.tolist() == [ids.index(own) if own in ids else -1 for own in wanted]
