<?php

// SPDX-License-Identifier: MIT

declare(strict_types=1);

namespace Guestbook;

use PDO;

/** The book itself: every SQL statement of the application, all of them prepared. */
final class Entries
{
    public const PER_PAGE = 50;

    public function __construct(private readonly PDO $database)
    {
    }

    /** @return list<Entry> newest first, with ids below $before */
    public function latest(int $before = PHP_INT_MAX): array
    {
        $statement = $this->database->prepare(
            'SELECT id, name, message, written, mark FROM entries
             WHERE id < :before ORDER BY id DESC LIMIT :count',
        );
        $statement->bindValue('before', $before, PDO::PARAM_INT);
        $statement->bindValue('count', self::PER_PAGE, PDO::PARAM_INT);
        $statement->execute();
        return $statement->fetchAll(PDO::FETCH_FUNC, static fn (...$row): Entry => new Entry(...$row));
    }

    public function count(): int
    {
        return (int) $this->database->query('SELECT count(*) FROM entries')->fetchColumn();
    }

    public function add(Draft $draft, string $mark): void
    {
        $this->database
            ->prepare('INSERT INTO entries (name, message, written, mark) VALUES (?, ?, ?, ?)')
            ->execute([$draft->name, $draft->message, time(), $mark]);
    }

    /** Only the writer's own entry; false when there is none. */
    public function remove(int $id, string $mark): bool
    {
        $statement = $this->database->prepare('DELETE FROM entries WHERE id = ? AND mark = ?');
        $statement->execute([$id, $mark]);
        return $statement->rowCount() === 1;
    }
}
