<?php

// SPDX-License-Identifier: MIT
// One page for each way to answer.

declare(strict_types=1);

namespace App;

use RuntimeException;
use Symfony\Component\HttpFoundation\BinaryFileResponse;
use Symfony\Component\HttpFoundation\JsonResponse;
use Symfony\Component\HttpFoundation\Request;
use Symfony\Component\HttpFoundation\Response;
use Symfony\Component\HttpFoundation\StreamedResponse;

final class Pages
{
    public function __construct(private readonly Basket $basket)
    {
    }

    public function hello(): Response
    {
        return new JsonResponse(['hello' => 'world']);
    }

    public function visit(Request $request): Response
    {
        $session = $request->getSession();
        $session->set('name', $session->get('name') ?? $request->query->get('name', 'nobody'));
        $session->set('visits', $session->get('visits', 0) + 1);
        return new JsonResponse([$session->get('name'), $session->get('visits')]);
    }

    public function basket(Request $request): Response
    {
        return new JsonResponse($this->basket->add((string) $request->query->get('item')));
    }

    public function fail(): Response
    {
        throw new RuntimeException('on purpose');
    }

    public function stream(Request $request): Response
    {
        return new StreamedResponse(static function () use ($request): void {
            while (ob_get_level() > 0) {
                ob_end_flush();
            }
            echo "first\n";
            flush();
            while (!file_exists((string) $request->query->get('go'))) {
                usleep(1_000);
                clearstatcache();
            }
            echo "second\n";
        }, 200, ['Content-Type' => 'text/plain']);
    }

    public function file(): Response
    {
        return new BinaryFileResponse(__FILE__);
    }

    public function after(Request $request): Response
    {
        $request->getSession()->set('asked', true);
        return new Response('answered', 200, ['Content-Type' => 'text/plain']);
    }

    public function request(Request $request): Response
    {
        return new JsonResponse([
            'query' => $request->query->all(),
            'form' => $request->request->all(),
            'cookies' => $request->cookies->all(),
            'test' => $request->headers->get('X-Test'),
            'uri' => $request->getUri(),
            'precision' => ini_get('precision'),
            'careless' => getenv('CARELESS'),
            'session' => session_status(),
            'mode' => $_SERVER['APP_RUNTIME_MODE'] ?? null,
        ]);
    }
}
