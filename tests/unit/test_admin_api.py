# SPDX-License-Identifier: MIT
"""The description of the admin API, held against the specification of such descriptions."""

from openapi_spec_validator import validate

from askrctl.server.admin_api import ROUTES, openapi


def test_the_description_is_valid_openapi() -> None:
    description = openapi()
    validate(description)
    told = {
        (method.upper(), path) for path, item in description["paths"].items() for method in item
    }
    assert told == {(route.method, route.path) for route in ROUTES}
    names = {
        item["operationId"] for path in description["paths"].values() for item in path.values()
    }
    assert len(names) == len(ROUTES), "each operation has a name of its own"
    status = description["paths"]["/api/status"]["get"]["responses"]["200"]["content"]
    worker = status["application/json"]["schema"]["properties"]["workers"]["items"]
    assert worker["properties"]["apps"]["items"]["properties"]["pid"] == {"type": "integer"}
