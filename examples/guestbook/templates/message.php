<?php

// SPDX-License-Identifier: MIT
/**
 * @var string $title
 * @var string $text
 */

use Guestbook\Page;

?>
<h1><?= Page::text($title) ?></h1>
<p><?= Page::text($text) ?></p>
<p><a href="/">Back to the guestbook</a></p>
