"""The named error lines: complete, well-formed, found by name and by status."""

from __future__ import annotations

from typing import get_args

import pytest

from runner.errors import JobError
from runner.simulator.error_lines import How, error_lines, line_named


def test_every_line_can_be_sent() -> None:
    for name, line in error_lines().items():
        assert line.name == name
        assert line.how in get_args(How)
        assert line.status == 0 or 200 <= line.status < 600
        assert line.how not in ("error", "data_prefixed") or line.message or line.raw is not None


@pytest.mark.parametrize(
    ("status", "code"),
    [
        ("429", "limit_requests"),
        ("429", "limit_burst_rate"),
        ("429", "insufficient_quota"),
        ("429", "Throttling"),
        ("429", "Throttling.Concurrency"),
        ("429", "CommodityNotPurchased"),
        ("429", "PrepaidBillOverdue"),
        ("429", "PostpaidBillOverdue"),
        ("400", "Arrearage"),
        ("400", "data_inspection_failed"),
        ("400", "invalid_parameter_error"),
        ("401", "invalid_api_key"),
        ("403", "access_denied"),
        ("403", "AccessDenied.Unpurchased"),
        ("403", "Model.AccessDenied"),
        ("403", "Workspace.AccessDenied"),
        ("403", "Endpoint.AccessDenied"),
        ("403", "AllocationQuota.FreeTierOnly"),
        ("404", "model_not_found"),
        ("500", "internal_error"),
        ("500", "InternalError.Algo"),
        ("500", "SystemError"),
        ("500", "ModelServiceFailed"),
        ("500", "RequestTimeOut"),
        ("503", "ModelUnavailable"),
    ],
)
def test_every_code_of_the_provider_has_a_line(status: str, code: str) -> None:
    found = {(str(line.status), line.code) for line in error_lines().values()}
    assert (status, code) in found


@pytest.mark.parametrize("status", [400, 401, 403, 404, 408, 413, 429, 500, 502, 503, 504])
def test_a_status_means_a_line_of_that_status(status: int) -> None:
    assert line_named(str(status), where="--errors").status == status


def test_an_unknown_name_is_answered_with_near_ones() -> None:
    with pytest.raises(
        JobError,
        match="--errors: there is no error called 'limit_request'; did you mean limit_req",
    ):
        line_named("limit_request", where="--errors")
