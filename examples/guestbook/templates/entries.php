<?php

// SPDX-License-Identifier: MIT
/**
 * @var list<Guestbook\Entry> $entries
 * @var int $total
 * @var Guestbook\Draft $draft
 * @var Guestbook\Visitor $visitor
 */

use Guestbook\Draft;
use Guestbook\Entries;
use Guestbook\Page;

$token = Page::text($visitor->token());
$describe = static fn (string $field): string => isset($draft->errors[$field])
    ? ' aria-invalid="true" aria-describedby="' . $field . '-error"'
    : '';
?>
<h1>Leave a word</h1>

<?php if ($draft->errors !== []): ?>
<div class="problem" role="alert">
  <p>This was not written down yet:</p>
  <ul>
<?php foreach ($draft->errors as $field => $error): ?>
    <li id="<?= $field ?>-error"><a href="#<?= $field ?>"><?= Page::text($error) ?></a></li>
<?php endforeach ?>
  </ul>
</div>
<?php endif ?>

<form class="card" method="post" action="/">
  <input type="hidden" name="token" value="<?= $token ?>">
  <label for="name">Name</label>
  <input id="name" name="name" required maxlength="<?= Draft::NAME_MAX ?>" autocomplete="name"
         value="<?= Page::text($draft->name) ?>"<?= $describe('name') ?>>
  <label for="message">Message</label>
  <textarea id="message" name="message" rows="4" required
            maxlength="<?= Draft::MESSAGE_MAX ?>"<?= $describe('message') ?>><?= Page::text($draft->message) ?></textarea>
  <button>Sign the book</button>
</form>

<h2 id="entries">Entries <span class="count"><?= $total ?></span></h2>

<?php if ($entries === []): ?>
<p>Nobody has written anything here. Be the first.</p>
<?php endif ?>
<ol class="entries" reversed>
<?php foreach ($entries as $entry): ?>
  <li class="card">
    <article>
      <h3><?= Page::text($entry->name) ?></h3>
      <p class="message"><?= Page::text($entry->message) ?></p>
      <time datetime="<?= gmdate('c', $entry->written) ?>"><?= gmdate('j F Y, H:i', $entry->written) ?> UTC</time>
<?php if (hash_equals($visitor->mark(), $entry->mark)): ?>
      <form method="post" action="/delete">
        <input type="hidden" name="token" value="<?= $token ?>">
        <input type="hidden" name="id" value="<?= $entry->id ?>">
        <button class="quiet" aria-label="Delete your entry of <?= gmdate('j F Y, H:i', $entry->written) ?>">Delete</button>
      </form>
<?php endif ?>
    </article>
  </li>
<?php endforeach ?>
</ol>
<?php if (count($entries) === Entries::PER_PAGE): ?>
<p><a href="/?before=<?= end($entries)->id ?>#entries">Older entries</a></p>
<?php endif ?>
