<?php

// SPDX-License-Identifier: MIT
// Sessions, validation, Blade and Eloquent in three actions.

declare(strict_types=1);

namespace App\Http\Controllers;

use App\Models\Note;
use Illuminate\Contracts\View\View;
use Illuminate\Http\RedirectResponse;
use Illuminate\Http\Request;
use Illuminate\Routing\Controller;
use Illuminate\Support\Collection;

final class NoteController extends Controller
{
    public function index(Request $request): View
    {
        $session = $request->session();
        $session->put('visits', $session->get('visits', 0) + 1);
        return view('notes', [
            'notes' => Note::query()->latest('id')->limit(20)->get(),
            'visits' => $session->get('visits'),
            'name' => $session->get('name', 'nobody'),
        ]);
    }

    public function store(Request $request): RedirectResponse
    {
        $valid = $request->validate(['text' => 'required|string|max:200', 'name' => 'required|alpha_num']);
        $request->session()->put('name', $valid['name']);
        Note::create(['text' => $valid['text'], 'author' => $valid['name']]);
        return redirect('/')->with('message', 'Noted.');
    }

    public function list(): Collection
    {
        return Note::query()->orderBy('id')->get(['id', 'text', 'author']);
    }
}
