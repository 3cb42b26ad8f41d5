<?php

// SPDX-License-Identifier: MIT
// The smallest Symfony application that has sessions, services and something to do afterwards.

declare(strict_types=1);

namespace App;

use Symfony\Bundle\FrameworkBundle\FrameworkBundle;
use Symfony\Bundle\FrameworkBundle\Kernel\MicroKernelTrait;
use Symfony\Component\DependencyInjection\Loader\Configurator\ContainerConfigurator;
use Symfony\Component\HttpKernel\Kernel as HttpKernel;
use Symfony\Component\Routing\Loader\Configurator\RoutingConfigurator;

final class Kernel extends HttpKernel
{
    use MicroKernelTrait;

    private const PAGES = ['hello', 'visit', 'basket', 'fail', 'stream', 'file', 'after', 'request'];

    public function registerBundles(): iterable
    {
        yield new FrameworkBundle();
    }

    public function getProjectDir(): string
    {
        return dirname(__DIR__);
    }

    protected function configureContainer(ContainerConfigurator $container): void
    {
        $container->extension('framework', [
            'secret' => 'of a test',
            'http_method_override' => false,
            'router' => ['utf8' => true],
            'session' => [
                'storage_factory_id' => 'session.storage.factory.native',
                'save_path' => '%kernel.project_dir%/var/sessions',
                'handler_id' => 'session.handler.native_file',
            ],
        ]);
        $services = $container->services()->defaults()->autowire()->autoconfigure();
        $services->set(Basket::class);
        $services->set(Afterwards::class);
        $services->set(Pages::class)->public();
    }

    protected function configureRoutes(RoutingConfigurator $routes): void
    {
        foreach (self::PAGES as $page) {
            $routes->add($page, "/$page")->controller([Pages::class, $page]);
        }
    }
}
