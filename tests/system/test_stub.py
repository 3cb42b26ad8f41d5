# SPDX-License-Identifier: MIT
"""docs/php/askr.stub.php is true: what it declares is what scripts find, name by name.

The stub is read by PHP's own reflection on the command line, where none of it exists, and compared
with what the same reflection says under the server.
"""

import json
import subprocess
from pathlib import Path
from typing import Any

from system.conftest import Serve
from system.harness import ROOT

STUB = ROOT / "docs/php/askr.stub.php"
# FrankenPHP's interface, and what applications know from php-fpm and Apache.
FUNCTIONS = {
    "frankenphp_handle_request", "frankenphp_finish_request", "frankenphp_request_headers",
    "frankenphp_response_headers", "frankenphp_log", "mercure_publish", "headers_send",
    "fastcgi_finish_request", "getallheaders", "apache_request_headers", "apache_response_headers",
}  # fmt: skip
CONSTANTS = {
    "FRANKENPHP_LOG_LEVEL_DEBUG": -4,
    "FRANKENPHP_LOG_LEVEL_INFO": 0,
    "FRANKENPHP_LOG_LEVEL_WARN": 4,
    "FRANKENPHP_LOG_LEVEL_ERROR": 8,
}
REFLECT = """
function describe(array $functions): array {
    $found = [];
    foreach ($functions as $name) {
        $function = new ReflectionFunction($name);
        $parameters = [];
        foreach ($function->getParameters() as $parameter) {
            $default = $parameter->isDefaultValueAvailable() ? $parameter->getDefaultValue() : '-';
            $parameters[] = [$parameter->getName(), (string) $parameter->getType(), $default];
        }
        $found[$name] = [(string) $function->getReturnType(), $parameters];
    }
    ksort($found);
    return $found;
}
"""
OF_THE_STUB = """
require $argv[1];
echo json_encode([describe(get_defined_functions()['user']), get_defined_constants(true)['user']]);
"""
OF_THE_SERVER = """<?php
%s
$own = array_merge(
    (new ReflectionExtension('askr'))->getFunctions(),
    (new ReflectionExtension('frankenphp'))->getFunctions(),
);
$constants = array_filter(
    get_defined_constants(),
    static fn (string $name): bool => str_starts_with($name, 'FRANKENPHP_'),
    ARRAY_FILTER_USE_KEY,
);
echo json_encode([describe(array_keys($own)), $constants]);
"""


def declared() -> list[Any]:
    code = REFLECT + OF_THE_STUB
    done = subprocess.run(
        ["php", "-n", "-r", code, str(STUB)], capture_output=True, text=True, check=True
    )
    found: list[Any] = json.loads(done.stdout)
    found[0].pop("describe")
    return found


def test_the_stub_declares_what_scripts_find(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "index.php").write_text(OF_THE_SERVER % REFLECT)
    functions, constants = declared()
    there = json.loads(serve(tmp_path).get("/").body)
    assert there == [functions, constants]
    assert constants == CONSTANTS
    assert set(functions) >= FUNCTIONS
