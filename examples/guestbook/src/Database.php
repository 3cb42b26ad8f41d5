<?php

// SPDX-License-Identifier: MIT

declare(strict_types=1);

namespace Guestbook;

use PDO;

/** Finds a place for the SQLite file, and makes the table when the file is new. */
final class Database
{
    /** How long a writer waits for another process's lock before it gives up. */
    private const BUSY_TIMEOUT_S = 5;

    public static function open(): PDO
    {
        $database = new PDO('sqlite:' . self::folder() . '/guestbook.sqlite', null, null, [
            PDO::ATTR_ERRMODE => PDO::ERRMODE_EXCEPTION,
            PDO::ATTR_TIMEOUT => self::BUSY_TIMEOUT_S,
            PDO::ATTR_STRINGIFY_FETCHES => false,
        ]);
        // Classic mode opens the file on each request: look before asking for the write lock.
        if ((int) $database->query('PRAGMA user_version')->fetchColumn() === 0) {
            self::migrate($database);
        }
        return $database;
    }

    private static function migrate(PDO $database): void
    {
        $database->exec('PRAGMA journal_mode = WAL'); // readers do not wait for a writer
        $database->exec(
            'CREATE TABLE IF NOT EXISTS entries (
                id INTEGER PRIMARY KEY AUTOINCREMENT,
                name TEXT NOT NULL,
                message TEXT NOT NULL,
                written INTEGER NOT NULL,
                mark TEXT NOT NULL
            )',
        );
        $database->exec('PRAGMA user_version = 1');
    }

    /** GUESTBOOK_DATA, or data/ beside the code, or a private folder where temporary files go. */
    private static function folder(): string
    {
        $wished = getenv('GUESTBOOK_DATA') ?: dirname(__DIR__) . '/data';
        $fallback = sys_get_temp_dir() . '/guestbook-' . posix_geteuid();
        if (self::isWritable($wished)) {
            return $wished;
        }
        // Its name can be guessed, so somebody else may have made it first.
        if (self::isWritable($fallback) && fileowner($fallback) === posix_geteuid()) {
            return $fallback;
        }
        throw new \RuntimeException("Neither $wished nor $fallback is a folder I may write to.");
    }

    private static function isWritable(string $folder): bool
    {
        return (is_dir($folder) || @mkdir($folder, 0700)) && is_writable($folder);
    }
}
