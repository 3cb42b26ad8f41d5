<?php

// SPDX-License-Identifier: MIT
/**
 * @var string $title
 * @var string $content HTML
 */

use Guestbook\Page;

?>
<!DOCTYPE html>
<html lang="en">
<head>
  <meta charset="utf-8">
  <meta name="viewport" content="width=device-width, initial-scale=1">
  <meta name="color-scheme" content="light dark">
  <title><?= Page::text($title) ?></title>
  <link rel="icon" href="/icon.svg" type="image/svg+xml">
  <link rel="stylesheet" href="/style.css">
</head>
<body>
<a class="skip" href="#content">Skip to the content</a>
<header>
  <img src="/icon.svg" alt="" width="40" height="40">
  <p class="name"><a href="/">Guestbook</a></p>
</header>
<main id="content">
<?= $content ?>
</main>
<footer>
  <p>PHP <?= Page::text(PHP_VERSION) ?>, <?= Page::text(PHP_SAPI) ?>,
     process <?= Page::text((string) getmypid()) ?> ·
     <a href="/api/entries">entries as JSON</a></p>
</footer>
</body>
</html>
