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
