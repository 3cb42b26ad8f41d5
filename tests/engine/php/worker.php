<?php
// A worker script whose boot leaves marks; one action per request, chosen by ?a=. For
// test_php_worker.py.

ini_set('precision', '10');
putenv('BOOT=1');
setlocale(LC_NUMERIC, 'C');
chdir(__DIR__);
set_error_handler(static fn ($number, $message) => error_log("boot handler: $message") || true);
register_shutdown_function(static fn () => error_log('boot shutdown function'));
echo 'printed at boot';

final class Witness
{
    public function __construct(private readonly string $name)
    {
    }

    public function __destruct()
    {
        error_log("destroyed: $this->name");
    }
}

function recurse(int $depth): int
{
    return recurse($depth + 1) + 1;
}

function request_state(): array
{
    return [
        'get' => $_GET,
        'post' => $_POST,
        'cookie' => $_COOKIE,
        'files' => array_keys($_FILES),
        'request' => $_REQUEST,
        'method' => $_SERVER['REQUEST_METHOD'],
        'user' => $_SERVER['PHP_AUTH_USER'] ?? null,
        'input' => file_get_contents('php://input'),
        'session' => isset($_SESSION),
        'worker' => $_SERVER['FRANKENPHP_WORKER'] ?? null,
    ];
}

// All that a request may not leave behind.
function process_state(): array
{
    $handler = set_error_handler(null);
    restore_error_handler();
    $catcher = set_exception_handler(null);
    restore_exception_handler();
    return [
        'precision' => ini_get('precision'),
        'memory_limit' => ini_get('memory_limit'),
        'time_limit' => ini_get('max_execution_time'),
        'error_reporting' => error_reporting(),
        'leak' => getenv('LEAK'),
        'boot' => getenv('BOOT'),
        'cwd' => getcwd(),
        'umask' => umask(),
        'buffers' => ob_get_level(),
        'status' => http_response_code(),
        'headers' => headers_list(),
        'timezone' => date_default_timezone_get(),
        'encoding' => mb_internal_encoding(),
        'context' => stream_context_get_options(stream_context_get_default()),
        'handler' => $handler !== null,
        'catcher' => $catcher !== null,
        'last_error' => error_get_last(),
        'locale' => setlocale(LC_ALL, '0'),
        'token' => strtok('/'),
        'save_handler' => ini_get('session.save_handler'),
    ];
}

function dirty(): void
{
    ini_set('precision', '3');
    ini_set('memory_limit', '256M');
    set_time_limit(77);
    putenv('LEAK=1');
    putenv('BOOT=changed');
    chdir('/');
    umask(0);
    setlocale(LC_ALL, 'C.UTF-8');
    restore_error_handler();
    set_error_handler(static fn () => true);
    set_error_handler(static fn () => true);
    set_exception_handler(static fn (Throwable $e) => print 'handled: ' . $e->getMessage());
    register_shutdown_function(static function () { echo ' shutdown'; });
    ob_start();
    ob_start();
    echo 'dirty';
    header('X-Dirty: 1');
    setcookie('dirty', '1');
    http_response_code(418);
    error_reporting(0);
    date_default_timezone_set('Europe/Stockholm');
    mb_internal_encoding('ISO-8859-1');
    stream_context_set_default(['http' => ['user_agent' => 'leak']]);
    strtok('a/b/c', '/');
    @trigger_error('last');
    session_set_save_handler(new SessionHandler());
}

$boots = (int) getenv('BOOT_COUNT') + 1;
$served = 0;
$handler = static function () use (&$served): void {
    $served++;
    switch ($_GET['a'] ?? '') {
        case 'state':
            echo json_encode(request_state());
            break;
        case 'process':
            echo json_encode(process_state());
            break;
        case 'dirty':
            dirty();
            break;
        case 'session':
            session_start();
            $_SESSION['count'] = ($_SESSION['count'] ?? 0) + 1;
            echo $_SESSION['count'];
            if (isset($_GET['exit'])) {
                exit;
            }
            break;
        case 'save_path':
            if (isset($_GET['path'])) {
                ini_set('session.save_path', $_GET['path']);
            }
            echo ini_get('session.save_path');
            break;
        case 'rewrite':
            output_add_rewrite_var($_GET['name'], '1');
            echo '<form action="/x"></form>';
            break;
        case 'usage':
            echo json_encode([memory_get_usage(), count(scandir('/proc/self/fd'))]);
            break;
        case 'peek':
            echo json_encode([isset($_SESSION), session_id(), session_status()]);
            break;
        case 'throw':
            echo 'partial';
            throw new LogicException('nobody catches this');
        case 'handled':
            set_exception_handler(static function (Throwable $e): void {
                http_response_code(503);
                echo 'handled: ', $e->getMessage();
            });
            throw new LogicException('by the request');
        case 'exit':
            echo 'before ';
            $kept = new Witness('at exit');
            exit('after');
        case 'exit_finally':
            try {
                exit('exit');
            } finally {
                echo 'finally';
            }
        case 'generator':
            foreach ((static function () {
                yield 'generator ';
                exit('exit');
            })() as $value) {
                echo $value;
            }
            break;
        case 'fiber':
            $fiber = new Fiber(static function (): void {
                echo 'in fiber ';
                Fiber::suspend();
                echo 'resumed ';
                exit('exit');
            });
            $fiber->start();
            $fiber->resume();
            break;
        case 'memory':
            register_shutdown_function(static function () { echo 'error page'; });
            $x = str_repeat('x', 1 << 30);
            break;
        case 'redeclare':
            eval('final class Witness {}');
            break;
        case 'user_error':
            restore_error_handler();
            trigger_error('the request gives up', E_USER_ERROR);
            break;
        case 'recursion':
            recurse(0);
            break;
        case 'busy':
            set_time_limit(1);
            while (true) {
            }
        case 'sleep':
            sleep(60);
            break;
        case 'hints':
            header('Link: </style.css>; rel=preload');
            headers_send(103);
            header_remove('Link');
            echo 'final';
            break;
        case 'stream':
            while (ob_get_level()) {
                ob_end_flush();
            }
            for ($i = 0; $i < 3; $i++) {
                echo "data: $i\n\n";
                flush();
            }
            break;
        case 'finish':
            echo 'answer';
            askr_finish_request();
            echo 'unheard';
            error_log('after the answer');
            break;
        case 'abort':
            for ($i = 0; $i < 10; $i++) {
                echo str_repeat('x', 10000);
            }
            error_log('reached the end: ' . connection_aborted());
            break;
        case 'gzip':
            ob_start('ob_gzhandler');
            echo str_repeat('compress me ', 100);
            break;
        case 'filter':
            echo json_encode([filter_input(INPUT_SERVER, 'REQUEST_URI'), filter_input(INPUT_GET, 'q')]);
            break;
        case 'opcache_reset':
            echo json_encode(opcache_reset());
            break;
        case 'nested':
            try {
                frankenphp_handle_request(static function () {});
            } catch (RuntimeException $e) {
                echo $e->getMessage();
            }
            break;
        case 'served':
            echo $served;
            break;
        case 'streams':
            echo json_encode([get_resource_type(STDERR), get_resource_type(STDOUT), defined('STDIN')]);
            break;
        case 'new_file':
            $path = $_GET['path'];
            file_put_contents($path, '<?php return 1;');
            include $path;
            echo json_encode(opcache_is_script_cached($path));
            break;
        case 'fork':
            if (pcntl_fork() === 0) {
                echo 'from the copy';
                exit(7);
            }
            pcntl_wait($status);
            echo 'copy ended with ', pcntl_wexitstatus($status);
            break;
        case 'memory_usage':
            echo memory_get_usage();
            break;
        default:
            echo 'Hello';
    }
};

$limit = (int) (getenv('LOOP_MAX') ?: PHP_INT_MAX);
while ($limit-- > 0 && frankenphp_handle_request($handler)) {
    match ($_GET['between'] ?? '') {
        'dirty' => dirty(),
        'session' => session_start() && $_SESSION['count']++,
        'sleep' => sleep(60),
        default => null,
    };
    echo 'printed between requests';
    header('X-Between: 1');
}
error_log("left the loop after $served");
