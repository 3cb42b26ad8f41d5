{{-- SPDX-License-Identifier: MIT --}}
@extends('layout')

@section('title', 'All notes')

@section('content')
<h1>{{ $name }}, visit {{ $visits }}</h1>
@if (session('message'))
<p role="status">{{ session('message') }}</p>
@endif
@foreach ($errors->all() as $error)
<p role="alert">{{ $error }}</p>
@endforeach
<form method="post" action="/notes">
  @csrf
  <input name="name" aria-label="Name" value="{{ old('name') }}">
  <input name="text" aria-label="Text" value="{{ old('text') }}">
  <button>Note it</button>
</form>
<ul>
@forelse ($notes as $note)
  <li>{{ $note->author }}: {{ $note->text }}</li>
@empty
  <li>No notes.</li>
@endforelse
</ul>
@endsection
