<?php

// SPDX-License-Identifier: MIT

declare(strict_types=1);

namespace Guestbook;

/** HTML from templates/. What a template prints goes through text(). */
final class Page
{
    /** @param list<Entry> $entries */
    public static function entries(array $entries, int $total, Draft $draft, Visitor $visitor): string
    {
        $content = self::render('entries', [
            'entries' => $entries,
            'total' => $total,
            'draft' => $draft,
            'visitor' => $visitor,
        ]);
        return self::render('layout', ['title' => 'Guestbook', 'content' => $content]);
    }

    public static function message(string $title, string $text): string
    {
        $content = self::render('message', ['title' => $title, 'text' => $text]);
        return self::render('layout', ['title' => $title, 'content' => $content]);
    }

    public static function text(string $value): string
    {
        return htmlspecialchars($value, ENT_QUOTES | ENT_SUBSTITUTE | ENT_HTML5);
    }

    /** @param array<string, mixed> $variables what the template sees */
    private static function render(string $template, array $variables): string
    {
        ob_start();
        try {
            (static function (string $file, array $variables): void {
                extract($variables);
                require $file;
            })(dirname(__DIR__) . "/templates/$template.php", $variables);
        } finally {
            $html = (string) ob_get_clean();
        }
        return $html;
    }
}
