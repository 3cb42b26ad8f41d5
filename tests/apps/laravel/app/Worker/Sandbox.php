<?php

// SPDX-License-Identifier: MIT
// What Octane does for an application, in its smallest form: one warm application, cloned for each
// request, so that nothing of a request (user, session, configuration) reaches the next one.

declare(strict_types=1);

namespace App\Worker;

use Illuminate\Container\Container;
use Illuminate\Contracts\Http\Kernel;
use Illuminate\Foundation\Application;
use Illuminate\Http\Request;
use Illuminate\Support\Facades\Facade;

final class Sandbox
{
    /** Built at boot, because building them is most of what a request would cost. */
    private const WARM = ['auth', 'cache', 'cache.store', 'config', 'cookie', 'db', 'db.factory',
        'encrypter', 'files', 'hash', 'log', 'router', 'routes', 'session', 'session.store',
        'translator', 'url', 'validator', 'view', 'view.engine.resolver'];

    private function __construct(private readonly Application $warm)
    {
    }

    public static function boot(Application $app): self
    {
        $app->instance('request', Request::create('http://localhost'));
        $app->make(Kernel::class)->bootstrap();
        foreach (self::WARM as $service) {
            if ($app->bound($service)) {
                $app->make($service);
            }
        }
        return new self($app);
    }

    public function answer(): void
    {
        $request = Request::capture();
        $app = clone $this->warm;
        $this->makeCurrent($app);
        try {
            $kernel = $this->pointAt($app, $request);
            ob_start(); // what the application prints by itself is not the answer
            $response = $kernel->handle($request);
            ob_end_clean();
            $response->send();
            $kernel->terminate($request, $response);
        } finally {
            $request->route()?->flushController();
            $app->flush();
            $this->makeCurrent($this->warm);
        }
    }

    private function makeCurrent(Application $app): void
    {
        $app->instance('app', $app);
        $app->instance(Container::class, $app);
        Container::setInstance($app);
        Facade::clearResolvedInstances();
        Facade::setFacadeApplication($app);
    }

    /** The warm services still know the warm application: point those that keep it at the clone. */
    private function pointAt(Application $app, Request $request): Kernel
    {
        $app->instance('request', $request);
        $app->instance('config', clone $this->warm['config']);
        $app['router']->setContainer($app);
        $app['db']->setApplication($app);
        $app['auth']->setApplication($app)->forgetGuards();
        $app['cookie']->flushQueuedCookies();
        $app['session']->setContainer($app);
        $app['session']->driver()->flush();
        $app['session']->driver()->setId(null);
        $app['url']->setRequest($request);
        $app['validator']->setContainer($app);
        $app['view']->setContainer($app);
        $app['view']->share('app', $app);
        $app['view']->flushState();
        $kernel = $app->make(Kernel::class);
        $kernel->setApplication($app);
        return $kernel;
    }
}
