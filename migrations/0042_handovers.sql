CREATE TABLE "handovers" (
	"id" text PRIMARY KEY DEFAULT gen_random_uuid()::text NOT NULL,
	"repository_id" text NOT NULL,
	"content_hash" text NOT NULL,
	"commit" text,
	"systems" jsonb NOT NULL,
	"by" text NOT NULL,
	"person" text NOT NULL,
	"at" bigint NOT NULL,
	"state" text NOT NULL,
	"ended_at" bigint,
	"result" text DEFAULT '' NOT NULL
);
--> statement-breakpoint
ALTER TABLE "revisions" ADD COLUMN "handover_id" text;--> statement-breakpoint
ALTER TABLE "handovers" ADD CONSTRAINT "handovers_repository_id_repositories_id_fk" FOREIGN KEY ("repository_id") REFERENCES "public"."repositories"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
CREATE INDEX "handovers_waiting" ON "handovers" USING btree ("repository_id","at") WHERE "handovers"."state" = 'WAITING';--> statement-breakpoint
CREATE INDEX "handovers_content" ON "handovers" USING btree ("repository_id","content_hash","at");--> statement-breakpoint
ALTER TABLE "revisions" ADD CONSTRAINT "revisions_handover_id_handovers_id_fk" FOREIGN KEY ("handover_id") REFERENCES "public"."handovers"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
CREATE INDEX "revisions_handover" ON "revisions" USING btree ("handover_id") WHERE "revisions"."handover_id" is not null;