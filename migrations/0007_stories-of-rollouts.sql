CREATE TABLE "rollout_stories" (
	"revision_id" text PRIMARY KEY NOT NULL,
	"at" bigint NOT NULL,
	"counts" jsonb NOT NULL,
	"leaving" bigint NOT NULL,
	"hosts" jsonb NOT NULL
);
--> statement-breakpoint
ALTER TABLE "repositories" ADD COLUMN "allowed_at" bigint;--> statement-breakpoint
ALTER TABLE "revisions" ADD COLUMN "allowed_at" bigint;--> statement-breakpoint
ALTER TABLE "revisions" ADD COLUMN "superseded_by" text;--> statement-breakpoint
ALTER TABLE "revisions" ADD COLUMN "superseded_at" bigint;--> statement-breakpoint
ALTER TABLE "rollout_stories" ADD CONSTRAINT "rollout_stories_revision_id_revisions_id_fk" FOREIGN KEY ("revision_id") REFERENCES "public"."revisions"("id") ON DELETE no action ON UPDATE no action;