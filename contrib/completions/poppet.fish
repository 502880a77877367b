# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_poppet_global_optspecs
    string join \n h/help V/version
end

function __fish_poppet_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_poppet_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_poppet_using_subcommand
    set -l cmd (__fish_poppet_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c poppet -n "__fish_poppet_needs_command" -s h -l help -d 'Print help'
complete -c poppet -n "__fish_poppet_needs_command" -s V -l version -d 'Print version'
complete -c poppet -n "__fish_poppet_needs_command" -f -a "demo" -d 'Serve sample mail from a temporary folder, on 127.0.0.1 ports 1110 and 1995'
complete -c poppet -n "__fish_poppet_needs_command" -f -a "serve" -d 'Serve mail'
complete -c poppet -n "__fish_poppet_needs_command" -f -a "check" -d 'Read everything that serve would, and say in words what is wrong and how to mend it'
complete -c poppet -n "__fish_poppet_needs_command" -f -a "status" -d 'Tell how a server that runs stands: who is logged in, what it has done so far'
complete -c poppet -n "__fish_poppet_needs_command" -f -a "hash" -d 'Make a line for the users file from a password'
complete -c poppet -n "__fish_poppet_using_subcommand demo" -s h -l help -d 'Print help'
complete -c poppet -n "__fish_poppet_using_subcommand serve" -l config -d 'The configuration file' -r -F
complete -c poppet -n "__fish_poppet_using_subcommand serve" -s h -l help -d 'Print help'
complete -c poppet -n "__fish_poppet_using_subcommand check" -l config -d 'The configuration file' -r -F
complete -c poppet -n "__fish_poppet_using_subcommand check" -s h -l help -d 'Print help'
complete -c poppet -n "__fish_poppet_using_subcommand status" -l config -d 'The configuration file' -r -F
complete -c poppet -n "__fish_poppet_using_subcommand status" -l json -d 'For programs, as JSON'
complete -c poppet -n "__fish_poppet_using_subcommand status" -l prometheus -d 'For Prometheus, in its text form'
complete -c poppet -n "__fish_poppet_using_subcommand status" -s h -l help -d 'Print help'
complete -c poppet -n "__fish_poppet_using_subcommand hash" -l scheme -d 'How to hash it; all three are checked in well under a second' -r -f -a "argon2id\t'The best there is; takes 19 MiB for each login, one after the other'
sha512-crypt\t'For a users file that older programs read as well'
bcrypt\t'The same; passwords of up to 72 octets'"
complete -c poppet -n "__fish_poppet_using_subcommand hash" -s h -l help -d 'Print help (see more with \'--help\')'
