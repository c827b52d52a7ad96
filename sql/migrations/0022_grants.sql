-- From here on each file grants what the server needs of it in a function of its own, named after the file.

-- The function that takes its name has the same arguments.
-- squawk-ignore renaming-object
alter function grant_server(regrole) rename to grant_server_0021;

comment on function grant_server_0021 is 'For grant_server: the rights of the files up to 0021_holds.sql.';

-- Functions of the owner's alone: whoever else may create one must not have it called here.
create function grant_server(server regrole) returns void
language plpgsql as $$
declare
    part regproc;
begin
    for part in
        select p.oid
        from pg_proc p
        join pg_proc this on this.oid = 'public.grant_server(regrole)'::regprocedure
        where p.pronamespace = this.pronamespace and p.proowner = this.proowner
          and p.proargtypes = this.proargtypes and p.proname ~ '^grant_server_\d{4}$'
        order by p.proname
    loop
        execute format('select %s($1)', part) using server;
    end loop;
end
$$;

comment on function grant_server is
    'Grants a role what `seatsync serve` needs, and no more, by the functions grant_server_0021 and so on, one a file; '
    'seatsync migrate calls it.';
