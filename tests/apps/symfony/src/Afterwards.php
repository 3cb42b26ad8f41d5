<?php

// SPDX-License-Identifier: MIT
// Work after the answer (kernel.terminate), such as mail: slow, and careless with what is global.

declare(strict_types=1);

namespace App;

use Symfony\Component\EventDispatcher\EventSubscriberInterface;
use Symfony\Component\HttpKernel\Event\TerminateEvent;
use Symfony\Component\HttpKernel\KernelEvents;

final class Afterwards implements EventSubscriberInterface
{
    private const PATIENCE_US = 20_000_000;
    private const POLL_US = 1_000;

    public static function getSubscribedEvents(): array
    {
        return [KernelEvents::TERMINATE => 'work'];
    }

    public function work(TerminateEvent $event): void
    {
        $request = $event->getRequest();
        if ($request->getPathInfo() !== '/after') {
            return;
        }
        ini_set('precision', '3');
        putenv('CARELESS=1');
        session_id($request->getSession()->getId());
        session_start(['use_cookies' => 0, 'use_only_cookies' => 0]);
        $_SESSION['mails'] = 1; // and nobody closes it
        $go = (string) $request->query->get('go');
        for ($waited = 0; $waited < self::PATIENCE_US && !file_exists($go); $waited += self::POLL_US) {
            usleep(self::POLL_US);
            clearstatcache();
        }
        file_put_contents((string) $request->query->get('file'), 'done');
    }
}
