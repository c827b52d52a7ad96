-- The timeline is left out where PostgreSQL does not let it be read: managed services do not grant its functions, or do
-- not have them.

-- With the owner's rights, so that every role sees the same epoch. The exception costs nothing until it is raised: 1 µs
-- a call with a timeline, 3 µs without.
create or replace function wire_epoch(epoch text) returns text
language plpgsql stable security definer set search_path = public, pg_temp as $$
begin
    if pg_is_in_recovery() then
        return epoch || '-' || upper(lpad(to_hex((pg_control_checkpoint()).timeline_id), 8, '0'));
    end if;
    return epoch || '-' || left(pg_walfile_name(pg_current_wal_lsn()), 8);
exception
    when insufficient_privilege or feature_not_supported then
        return epoch;
end
$$;

comment on function wire_epoch is
    'A hall''s epoch with the server''s timeline, where that can be read: a failover to a replica that lagged behind '
    'begins a new one.';
