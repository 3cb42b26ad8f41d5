<?php

// SPDX-License-Identifier: MIT

declare(strict_types=1);

namespace Guestbook;

/** Routes a request to its answer. Holds no state of a request, so one object serves any number. */
final class App
{
    private function __construct(private readonly Entries $entries)
    {
    }

    public static function boot(): self
    {
        return new self(new Entries(Database::open()));
    }

    public function handle(Request $request): Response
    {
        return match ($request->path) {
            '/' => $this->dispatch($request, ['GET' => $this->show(...), 'POST' => $this->sign(...)]),
            '/delete' => $this->dispatch($request, ['POST' => $this->delete(...)]),
            '/api/entries' => $this->dispatch($request, ['GET' => $this->list(...)]),
            default => Response::html(404, Page::message('Not found', 'There is no such page.')),
        };
    }

    /** @param array<string, callable(Request): Response> $handlers by method */
    private function dispatch(Request $request, array $handlers): Response
    {
        $method = $request->method === 'HEAD' ? 'GET' : $request->method;
        if (isset($handlers[$method])) {
            return $handlers[$method]($request);
        }
        $text = 'This page does not know the method ' . $request->method . '.';
        return Response::html(405, Page::message('Method not allowed', $text))
            ->with('Allow', implode(', ', array_keys($handlers)));
    }

    private function show(Request $request): Response
    {
        $before = (int) ($request->query['before'] ?? 0);
        return $this->page($request, 200, Draft::empty(), $before > 0 ? $before : PHP_INT_MAX);
    }

    private function sign(Request $request): Response
    {
        if (!Visitor::of($request)->sentThisForm($request)) {
            return $this->forged();
        }
        $draft = Draft::from($request->form);
        if ($draft->errors !== []) {
            return $this->page($request, 422, $draft, PHP_INT_MAX);
        }
        $this->entries->add($draft, Visitor::of($request)->mark());
        return Response::redirect('/#entries');
    }

    private function delete(Request $request): Response
    {
        $visitor = Visitor::of($request);
        if (!$visitor->sentThisForm($request)) {
            return $this->forged();
        }
        $id = (int) ($request->form['id'] ?? 0);
        if (!$this->entries->remove($id, $visitor->mark())) {
            return Response::html(404, Page::message('Not found', 'You have no such entry.'));
        }
        return Response::redirect('/#entries');
    }

    private function list(Request $request): Response
    {
        $entries = array_map(
            static fn (Entry $entry): array => $entry->toPublicArray(),
            $this->entries->latest(),
        );
        return Response::json(['entries' => $entries, 'count' => $this->entries->count()]);
    }

    private function page(Request $request, int $status, Draft $draft, int $before): Response
    {
        $visitor = Visitor::of($request);
        $entries = $this->entries->latest($before);
        $page = Page::entries($entries, $this->entries->count(), $draft, $visitor);
        return Response::html($status, $page)->withCookie($visitor->newCookie($request));
    }

    private function forged(): Response
    {
        $text = 'This form is out of date. Go back, reload the page and send it again.';
        return Response::html(403, Page::message('Please try again', $text));
    }
}
