CREATE TABLE "probe_answers" (
	"rollout_id" text NOT NULL,
	"ring" bigint NOT NULL,
	"name" text NOT NULL,
	"claim" bigint DEFAULT 0 NOT NULL,
	"claimed_until" bigint,
	"number" bigint DEFAULT 0 NOT NULL,
	"acknowledged" bigint DEFAULT 0 NOT NULL,
	"asked_at" bigint DEFAULT 0 NOT NULL,
	"verdict" text DEFAULT 'unknown' NOT NULL,
	"value" text,
	"max" double precision,
	"min" double precision,
	"detail" text DEFAULT '' NOT NULL,
	"tries" bigint DEFAULT 0 NOT NULL,
	CONSTRAINT "probe_answers_rollout_id_ring_name_pk" PRIMARY KEY("rollout_id","ring","name")
);
--> statement-breakpoint
ALTER TABLE "probe_answers" ADD CONSTRAINT "probe_answers_rollout_id_rollouts_id_fk" FOREIGN KEY ("rollout_id") REFERENCES "public"."rollouts"("id") ON DELETE cascade ON UPDATE no action;