-- Plans: the whole layout of a hall, replaced in one revision.

create table layout_change (
    hall_id bigint primary key,
    begins boolean not null
);

comment on table layout_change is
    'Halls whose layout is being replaced: what changes in them is of the revision that has begun. Rows are gone by the end '
    'of their transaction, so that no other one sees them.';
comment on column layout_change.hall_id is 'The hall.';
comment on column layout_change.begins is
    'True for a new revision; false where the transaction has begun one by a change of the hall itself.';

create or replace function next_revision(halls bigint[]) returns void
language plpgsql as $$
begin
    perform from hall where id = any(halls) order by id for no key update;
    update hall set rev = rev + 1
    where id = any(halls) and not exists (select from layout_change c where c.hall_id = hall.id);
end
$$;

comment on function next_revision is
    'For triggers: locks these halls, in order, and begins the next revision of each whose layout is not being replaced.';

create function layout_change_begin() returns trigger
language plpgsql security definer set search_path = public, pg_temp as $$
begin
    perform assert_table(tg_relid, 'layout_change');
    perform next_revision(array[new.hall_id]);
    return new;
end
$$;

comment on function layout_change_begin is 'For a trigger: the revision that a change of the layout is.';

create trigger layout_change_begins before insert on layout_change
    for each row when (new.begins) execute function layout_change_begin();

comment on trigger layout_change_begins on layout_change is 'Begins the revision of a change of the layout.';

-- Seats are matched by what people read. Those that are gone go first, and new ones come last, so that each seat is in one
-- statement, and no place is taken twice.
create function replace_plan(hall_id bigint, plan jsonb, keep_status boolean default true)
returns table (kept integer, moved integer, added integer, removed integer, lost integer)
language plpgsql as $$
#variable_conflict use_column
declare
    this bigint := replace_plan.hall_id;
    wanted seat[];  -- the seats of the plan: with the id of the one that matches, or without
    changed bigint[];  -- of those that stay, in whatever way
    named text := plan ->> 'name';
    size integer[];  -- rows and places
    resized boolean;
begin
    if plan ->> 'format' is distinct from 'seatsync.plan' or plan ->> 'version' is distinct from '1'
        or jsonb_typeof(plan -> 'seats') is distinct from 'array'
    then
        raise exception 'this is no plan of the format seatsync.plan, version 1' using errcode = 'invalid_parameter_value';
    end if;
    perform from seat s where s.hall_id = this order by s.id for update;
    select (h.name, h.rows, h.places) is distinct from (coalesce(named, h.name), s.rows, s.places), array[s.rows, s.places]
    into resized, size
    from hall h
    cross join (
        select
            coalesce((plan ->> 'rows')::integer, max((s ->> 'row')::integer), 1) as rows,
            coalesce((plan ->> 'places')::integer, max((s ->> 'place')::integer), 1) as places
        from jsonb_array_elements(plan -> 'seats') s
    ) s
    where h.id = this
    for no key update of h;
    if not found then
        raise exception 'there is no hall %', this using errcode = 'no_data_found';
    end if;

    insert into seat_type (name)
    select p.name
    from (
        select coalesce(s.value ->> 'type', 'Standard') as name, min(s.n) as n
        from jsonb_array_elements(plan -> 'seats') with ordinality s (value, n)
        group by 1
    ) p
    where not exists (select from seat_type t where t.name = p.name)
    order by p.n
    on conflict (name) do nothing;

    wanted := array(
        select jsonb_populate_record(
            null::seat,
            jsonb_build_object('x', s.x, 'y', s.y, 'width', 32, 'height', 32, 'rotation', 0)
                || jsonb_strip_nulls(p.value) || jsonb_build_object('id', s.id, 'seat_type_id', t.id)
        )
        from jsonb_array_elements(plan -> 'seats') with ordinality p (value, n)
        join seat_type t on t.name = coalesce(p.value ->> 'type', 'Standard')
        left join seat s
            on s.hall_id = this
            and coalesce(s.row_label, s.row::text) = coalesce(p.value ->> 'row_label', p.value ->> 'row')
            and coalesce(s.place_label, s.place::text) = coalesce(p.value ->> 'place_label', p.value ->> 'place')
            and s.section is not distinct from p.value ->> 'section'
        order by p.n
    );
    if (select count(w.id) > count(distinct w.id) from unnest(wanted) w) then
        raise exception 'two seats of the plan read the same' using errcode = 'unique_violation';
    end if;

    select
        count(*) filter (where not c.gone and not c.moves),
        count(*) filter (where not c.gone and c.moves),
        cardinality(wanted) - count(*) filter (where not c.gone),
        count(*) filter (where c.gone),
        count(*) filter (where c.taken and (c.gone or not keep_status)),
        array_agg(c.id) filter (where not c.gone and (c.moves or c.taken and not keep_status))
    into kept, moved, added, removed, lost, changed
    from (
        select
            s.id,
            s.status <> 'VACANT' as taken,
            w.id is null as gone,
            (
                w.seat_type_id, w.row, w.row_label, w.place, w.place_label, w.x, w.y, w.width, w.height, w.rotation
            ) is distinct from (
                s.seat_type_id, s.row, s.row_label, s.place, s.place_label, s.x, s.y, s.width, s.height, s.rotation
            ) as moves
        from seat s
        left join unnest(wanted) w on w.id = s.id
        where s.hall_id = this
    ) c;

    if resized then
        update hall h set name = coalesce(named, h.name), rows = size[1], places = size[2] where h.id = this;
    end if;
    insert into layout_change values (this, not resized and (added + removed > 0 or changed is not null));
    if added + removed + moved > 0 then
        perform announce_layout(array[this]);  -- first, for what is announced of a known revision counts no more
    end if;

    if removed > 0 then
        delete from seat s where s.hall_id = this and s.id not in (select w.id from unnest(wanted) w where w.id is not null);
    end if;
    if changed is not null then
        update seat s
        set
            seat_type_id = w.seat_type_id, row = w.row, row_label = w.row_label, place = w.place,
            place_label = w.place_label, x = w.x, y = w.y, width = w.width, height = w.height, rotation = w.rotation,
            status = case when keep_status then s.status else 'VACANT' end
        from unnest(wanted) w
        where w.id = s.id and s.id in (select unnest(changed));
    end if;
    if added > 0 then
        insert into seat (
            hall_id, seat_type_id, section, row, row_label, place, place_label, x, y, width, height, rotation
        )
        select
            this, w.seat_type_id, w.section, w.row, w.row_label, w.place, w.place_label, w.x, w.y, w.width, w.height,
            w.rotation
        from unnest(wanted) with ordinality w
        where w.id is null
        order by w.ordinality;
    end if;
    delete from layout_change c where c.hall_id = this;
    return next;
end
$$;

comment on function replace_plan is
    'Replaces the layout of a hall by a plan of the format seatsync.plan, in one revision: seats that people read alike '
    'stay, with their ids and, unless keep_status is false, with status, note and hold; the others of the hall are deleted, '
    'and those of the plan are new. The hall gets the name of the plan if that has one. Returns how many seats are as they '
    'were, are placed anew, are new, and are gone, and how many have lost a status other than VACANT. For the owner.';
